/** The threads of the core's CPU: workers over one memory (`entries/thread.ts`), which only isolated pages may share. */

import type { Work } from "../protocol/load.js";

/** What a thread is told: an instance of a module, which it becomes a part of. */
export interface ThreadStart {
  work: Work;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** What a thread says when it has instantiated the module. */
export const READY = "ready";

/** More would wait for each other: a layer's work is soon too small to share. */
const MOST = 8;

/** The core's part of it: `Threads`. */
interface Pool {
  fill(count: number): void;
}

/** How many threads are worth starting here; one where memory cannot be shared. */
export function threadCount(): number {
  return globalThis.crossOriginIsolated ? Math.min(MOST, globalThis.navigator?.hardwareConcurrency ?? 1) : 1;
}

/** Resolves when the worker has instantiated the module. */
function ready(worker: Worker): Promise<void> {
  return new Promise((resolve, reject) => {
    worker.addEventListener("message", ({ data }) => data === READY && resolve());
    worker.addEventListener("error", ({ message }) => reject(new Error(message || "a thread failed to start")), {
      once: true,
    });
  });
}

/** Starts all threads but this one for an instance of the module, and has it compute with them; how many there are. */
export async function startThreads(start: () => Worker, pool: Pool, instance: ThreadStart): Promise<number> {
  const workers = Array.from({ length: threadCount() - 1 }, start);
  try {
    await Promise.all(
      workers.map((worker) => {
        worker.postMessage(instance);
        return ready(worker);
      }),
    );
  } catch (error) {
    for (const worker of workers) worker.terminate();
    throw error;
  }
  pool.fill(workers.length + 1);
  return workers.length + 1;
}
