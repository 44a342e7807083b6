/** One worker and the calls to it. */

import { type Remote, releaseProxy, wrap } from "comlink";
import { ClipError, toClipError } from "./error.js";
import type { SpawnedWorker } from "./spawned-worker.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

/** Calls that settle even when the worker dies or is disposed of in the middle of them. */
export class WorkerClient<Api> {
  readonly #spawned: SpawnedWorker;
  readonly #api: Remote<Api>;
  readonly #pending = new Set<(error: ClipError) => void>();
  #closed: ClipError | undefined;

  constructor(spawned: SpawnedWorker) {
    this.#spawned = spawned;
    this.#api = wrap<Api>(spawned.endpoint);
    spawned.onLost((reason) =>
      this.#close(new ClipError("worker-lost", `expected the worker to answer, got: ${reason}`)),
    );
  }

  /** Asks the worker. Rejects with `disposed`, `worker-lost` or `panicked` where no answer can come any more. */
  call<T>(ask: (api: Remote<Api>) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(this.#closed);
    return new Promise<T>((resolve, reject) => {
      this.#pending.add(reject);
      ask(this.#api)
        .then(resolve, (error) => reject(toClipError(error)))
        .finally(() => this.#pending.delete(reject));
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

  /** Ends the worker and gives its memory back. Doing so again does nothing. */
  dispose(): void {
    this.#close(new ClipError("disposed", "expected a model in use, got one that was disposed of"));
  }
}
