/** When a run is saved by itself, and where. */

import { toClipError } from "../../workers/protocol/error.js";
import type { StepEvent } from "../../workers/protocol/train.js";
import { number, positiveInteger, type Schema, text } from "../options/rules.js";
import type { WorkerClient } from "../worker/client.js";
import type { TrainingWarning } from "./training-monitor.js";

/** How a run is saved by itself. */
export interface AutosaveOptions {
  /**
   * A folder: in the origin's private file system in a browser, on disk in Node. `ClipTrainer.resume` takes it. Without it
   * the state is kept in memory, where a lost worker or GPU can be gone on from, and a closed tab cannot.
   */
  to?: string;
  /** Steps from one state to the next. @default by `seconds` alone */
  every?: number;
  /** Seconds from one state to the next. @default 60, or never where `every` is given */
  seconds?: number;
  /** States that stay in the folder: older ones go. @default 2 */
  keep?: number;
}

export const AUTOSAVE = {
  to: text("the name of a folder"),
  every: positiveInteger,
  seconds: number("a number above 0", (value) => value > 0),
  keep: positiveInteger,
} satisfies Schema<AutosaveOptions>;

/** The states of a run. */
export class Autosave {
  readonly #to: string | undefined;
  readonly #every: number;
  readonly #seconds: number;
  readonly #keep: number;
  #memory: Uint8Array | undefined;
  #time = 0;
  /** Whether there were steps since the last one. */
  #behind = false;
  #failing = false;

  constructor(options: AutosaveOptions) {
    this.#to = options.to;
    this.#every = options.every ?? Number.POSITIVE_INFINITY;
    this.#seconds = options.seconds ?? (options.every === undefined ? 60 : Number.POSITIVE_INFINITY);
    this.#keep = options.keep ?? 2;
  }

  /** What the run goes on from: the bytes, or the folder they are in. */
  get state(): Uint8Array | string {
    // a copy: sending may give the memory away
    return this.#to ?? (this.#memory as Uint8Array).slice();
  }

  async #save(client: WorkerClient): Promise<void> {
    const [to, keep] = [this.#to, this.#keep];
    if (to === undefined) this.#memory = await client.call((api) => api.saveState());
    else await client.call((api) => api.keepState(to, keep));
    this.#time = performance.now();
    this.#behind = false;
  }

  /** Saves before the first step: a place that cannot be written is found now, and there is something to go back to. */
  begin(client: WorkerClient): Promise<void> {
    return this.#save(client);
  }

  /** Saves after a step where it is time to; a warning where it could not, which is told once until it can again. */
  async after({ step, totalSteps }: StepEvent, client: WorkerClient): Promise<true | TrainingWarning | undefined> {
    this.#behind = true;
    const due = performance.now() - this.#time >= 1000 * this.#seconds;
    if (!due && step % this.#every !== 0 && step !== totalSteps) return undefined;
    try {
      await this.#save(client);
      this.#failing = false;
      return true;
    } catch (error) {
      const { code, message } = toClipError(error);
      // the step was taken and is not lost; the next attempt waits as long as one that succeeded
      if (code !== "target-unwritable") throw error;
      this.#time = performance.now();
      if (this.#failing) return undefined;
      this.#failing = true;
      return { code: "autosave-failed", message: `${message}; the state before it is still there` };
    }
  }

  /** Leaves the last state as it is. */
  abandon(): void {
    this.#behind = false;
  }

  /** Saves what the last steps added when a run is left. */
  async finish(client: WorkerClient): Promise<void> {
    if (this.#behind) await this.#save(client);
  }
}
