/**
 * How a worker ends that computes on a GPU. Dawn aborts the process if a thread ends while one of its promises is pending: so a
 * worker that holds the GPU is not terminated, but asked to leave, which it does when all of them are settled.
 */

import { setImmediate } from "node:timers";
import type { MessagePort, Worker } from "node:worker_threads";

/** State of a worker: it may be terminated; it holds the GPU, and is to be asked; it is ending, and takes no GPU any more. */
const [FREE, HOLDING, ENDING] = [0, 1, 2];

/** Milliseconds that a process waits at its exit for a worker to leave. */
const PATIENCE = 10_000;

const LEAVE = "leave";

/** The state, as it is sent to the worker. */
interface Terms {
  workerState: Int32Array;
}

const hasTerms = (data: unknown): data is Terms =>
  typeof data === "object" && data !== null && "workerState" in data && data.workerState instanceof Int32Array;

/** The ends of all running workers. */
const running = new Set<WorkerEnd>();

/** Waits for the workers that hold the GPU; nothing asynchronous happens in an exiting process. */
function leaveAll(): void {
  for (const end of running) end.ask();
  for (const end of running) end.wait();
}

/** The end of a worker, for the thread that started it. */
export class WorkerEnd {
  readonly #worker: Worker;
  readonly #state = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.postMessage({ workerState: this.#state } satisfies Terms);
    if (running.size === 0) process.on("exit", leaveAll);
    running.add(this);
    worker.once("exit", () => {
      running.delete(this);
      if (running.size === 0) process.off("exit", leaveAll);
    });
  }

  /** Asks the worker to leave if it holds the GPU. Returns false if it may be terminated. */
  ask(): boolean {
    const holding = Atomics.compareExchange(this.#state, 0, FREE, ENDING) === HOLDING;
    if (holding) this.#worker.postMessage(LEAVE);
    return holding;
  }

  /** Blocks until the worker holds no GPU. */
  wait(): void {
    Atomics.wait(this.#state, 0, HOLDING, PATIENCE);
  }

  /** Ends the worker: at once, or as soon as the GPU has answered. */
  end(): void {
    if (!this.ask()) void this.#worker.terminate();
  }
}

/** The same for the worker itself. */
export class OwnEnd {
  readonly #terms: Promise<Terms>;
  #leave: () => void = () => process.exit();

  constructor(port: MessagePort) {
    this.#terms = new Promise((resolve) => {
      port.on("message", (data) => {
        if (hasTerms(data)) resolve(data);
        else if (data === LEAVE) this.#leave();
      });
    });
  }

  /**
   * Tells the other thread that this one holds the GPU; never resolves if it is already being terminated.
   *
   * @param leave lets go of the GPU, then calls its argument, which ends this thread
   */
  async holdGpu(leave: (exit: () => void) => void): Promise<void> {
    const { workerState } = await this.#terms;
    const leaveBy = (exit: () => void) =>
      leave(() => {
        Atomics.store(workerState, 0, ENDING);
        Atomics.notify(workerState, 0);
        exit();
      });
    this.#leave = () => leaveBy(process.exit);
    // an error that nobody catches ends the thread, too
    process.once("uncaughtException", (error) => {
      leaveBy(() =>
        setImmediate(() => {
          throw error;
        }),
      );
    });
    if (Atomics.compareExchange(workerState, 0, FREE, HOLDING) === ENDING) await new Promise(() => {});
  }
}
