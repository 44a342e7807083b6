/** A model judged by pairs, once or again and again. */

import type { Evaluation, PairsHandle } from "../workers/protocol.js";
import { type PairSource, sendPairs } from "./data/pairs.js";
import type { WorkerClient } from "./worker-client.js";

/** How a model is judged. */
export interface EvaluateOptions {
  /** More pairs to be told apart from: their images and captions are candidates, but nothing is asked for them. */
  distractors?: PairSource;
  /** Cuts captions longer than the context where they would be refused. @default false */
  truncate?: boolean;
}

/** Pairs in the worker that its model is judged by. They are sent once: a stream can be read only once. */
export class Judge {
  readonly #client: WorkerClient;
  readonly #pairs: PairsHandle;
  readonly #distractors: PairsHandle | undefined;

  private constructor(client: WorkerClient, pairs: PairsHandle, distractors: PairsHandle | undefined) {
    this.#client = client;
    this.#pairs = pairs;
    this.#distractors = distractors;
  }

  static async open(client: WorkerClient, pairs: PairSource, options: EvaluateOptions): Promise<Judge> {
    const { distractors, truncate = false } = options;
    const judge = new Judge(client, await sendPairs(client, pairs, { truncate }), undefined);
    if (distractors === undefined) return judge;
    try {
      return new Judge(client, judge.#pairs, await sendPairs(client, distractors, { truncate }));
    } catch (error) {
      await judge.close();
      throw error;
    }
  }

  /** How well each pair finds its other half with the weights as they are now. */
  evaluate(): Promise<Evaluation> {
    return this.#client.call((api) => api.evaluate(this.#pairs, this.#distractors));
  }

  /** Frees them; nothing to free where the worker is gone. */
  async close(): Promise<void> {
    for (const handle of [this.#pairs, this.#distractors]) {
      if (handle !== undefined) await this.#client.call((api) => api.closePairs(handle)).catch(() => undefined);
    }
  }
}
