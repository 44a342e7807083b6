/** The threads of the CPU modules: workers that share one memory, which browsers allow on cross-origin isolated pages only. */

import type { Work } from "../protocol/load.js";

/** Message to a thread (`entries/thread.ts`): the module to instantiate, and the memory to share. */
export interface ThreadStart {
  work: Work;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** Message from a thread when it has instantiated the module. */
export const READY = "ready";

/** More threads wait for each other: a layer's work is too small to share among them. */
const MAX_THREADS = 8;

/** The module's thread pool. */
interface Pool {
  fill(count: number): void;
}

/** Returns how many threads to use; 1 if memory cannot be shared: WebKitGTK isolates pages, but may lack SharedArrayBuffer. */
export function threadCount(): number {
  const shares = globalThis.crossOriginIsolated && "SharedArrayBuffer" in globalThis;
  return shares ? Math.min(MAX_THREADS, globalThis.navigator?.hardwareConcurrency ?? 1) : 1;
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

/** Starts the other threads of an instance and fills its pool; returns how many there are, this one included. */
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
