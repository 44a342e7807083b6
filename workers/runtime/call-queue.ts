import { type ClipError, toClipError } from "../protocol/error.js";

/** Runs calls one after another: the core answers one at a time. */
export class CallQueue {
  #last: Promise<unknown> = Promise.resolve();
  #panic: ClipError | undefined;

  /** Runs a call after all calls before it. A panic leaves the core's memory in an unknown state: later calls are refused. */
  run<T>(call: () => Promise<T> | T): Promise<T> {
    const run = async () => {
      if (this.#panic) throw this.#panic;
      try {
        return await call();
      } catch (error) {
        const clipError = toClipError(error);
        if (clipError.code === "panicked") this.#panic = clipError;
        throw clipError;
      }
    };
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => undefined);
    return result;
  }
}
