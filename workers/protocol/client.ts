/** The client of one worker. */

import { type Remote, releaseProxy, wrap } from "comlink";
import { resultOf } from "./answer.js";
import { ClipError, toClipError } from "./error.js";
import type { SpawnedWorker } from "./spawned-worker.js";

type Held = "model" | "index";

const AGAIN = { model: "load the model again", index: "open the index again" };
const CLOSED = {
  model: "the model was disposed of: load it again",
  index: "the index was closed: open it again",
};

/**
 * Calls a worker; the calls settle even if the worker dies or is disposed of meanwhile. A process waits for open calls, and not for
 * the worker.
 */
export class WorkerClient<Api> {
  readonly #spawned: SpawnedWorker;
  readonly #api: Remote<Api>;
  readonly #pending = new Set<(error: ClipError) => void>();
  readonly #what: Held;
  #closed: ClipError | undefined;

  /** @param what the worker holds, for messages */
  constructor(spawned: SpawnedWorker, what: Held = "model") {
    this.#spawned = spawned;
    this.#what = what;
    this.#api = wrap<Api>(spawned.endpoint);
    spawned.onLost((reason) =>
      this.#close(new ClipError("worker-lost", `the worker was lost (${reason}): ${AGAIN[what]}`)),
    );
  }

  /**
   * Calls the worker.
   *
   * @throws ClipError what the call throws, or `disposed` or `worker-lost` if the worker cannot answer any more
   */
  call<T>(ask: (api: Remote<Api>) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    return new Promise<T>((resolve, reject) => {
      this.#pending.add(reject);
      this.#spawned.setBusy?.(true);
      ask(this.#api)
        .then(resultOf)
        .then((result) => this.#spawned.own?.(result) ?? result)
        .then(resolve, (error) => reject(toClipError(error)))
        .finally(() => {
          this.#pending.delete(reject);
          this.#spawned.setBusy?.(this.#pending.size > 0);
        });
    });
  }

  #close(error: ClipError): void {
    if (this.#closed) return;
    this.#closed = error;
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.#api[releaseProxy]();
    this.#spawned.terminate();
  }

  /** Ends the worker and frees its memory; may be called twice. */
  dispose(): void {
    this.#close(new ClipError("disposed", CLOSED[this.#what]));
  }
}
