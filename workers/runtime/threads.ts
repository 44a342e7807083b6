/** The threads of the CPU modules: workers that share one memory, which browsers allow on cross-origin isolated pages only. */

import type { ThreadedModule } from "./threaded-glue.js";

/** Message to a thread (`entries/thread.ts`): the module to instantiate, and the memory to share. */
export interface ThreadStart {
  name: ThreadedModule;
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
}

/** Message from a thread when its script runs. */
export const STARTED = "started";

/** Message from a thread when it has instantiated the module. */
export const READY = "ready";

/** More threads wait for each other: a layer's work is too small to share among them. */
const MAX_THREADS = 8;

/** Browsers do not say why a script did not load. */
const NOT_LOADED =
  "the script thread.js did not load; check the page's Content Security Policy (worker-src) and the server";

/** The module's thread pool. */
interface Pool {
  fill(count: number): void;
}

/** Returns how many threads to use; 1 if memory cannot be shared: WebKitGTK isolates pages, but may lack SharedArrayBuffer. */
export function threadCount(): number {
  const shares = globalThis.crossOriginIsolated && "SharedArrayBuffer" in globalThis;
  return shares ? Math.min(MAX_THREADS, globalThis.navigator?.hardwareConcurrency ?? 1) : 1;
}

/** Resolves when each worker has said `word`; rejects if one fails. */
async function all(workers: readonly Worker[], word: string): Promise<void> {
  const said = (worker: Worker) =>
    new Promise<void>((resolve, reject) => {
      worker.addEventListener("message", ({ data }) => data === word && resolve());
      worker.addEventListener("error", ({ message }) => reject(new Error(message || NOT_LOADED)), { once: true });
    });
  await Promise.all(workers.map(said));
}

/** Starts the other threads, without a module: it need not be downloaded where a page's policy or server refuses them. */
export async function startThreads(start: () => Worker): Promise<Worker[]> {
  const workers: Worker[] = [];
  try {
    while (workers.length < threadCount() - 1) workers.push(start());
    await all(workers, STARTED);
    return workers;
  } catch (error) {
    for (const worker of workers) worker.terminate();
    throw error;
  }
}

/** Lets the threads join an instance, and fills its pool; returns how many there are, this one included. */
export async function joinThreads(workers: readonly Worker[], pool: Pool, instance: ThreadStart): Promise<number> {
  for (const worker of workers) worker.postMessage(instance);
  await all(workers, READY);
  pool.fill(workers.length + 1);
  return workers.length + 1;
}
