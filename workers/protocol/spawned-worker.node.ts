/** A worker that runs, in Node. */

import type { Worker } from "node:worker_threads";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import type { SpawnedWorker } from "./spawned-worker.js";

/** Its options: the process's own may be for its entry alone, such as --input-type. */
export const WORKER_OPTIONS = { execArgv: [] };

export function spawnedWorker(worker: Worker): SpawnedWorker {
  return {
    endpoint: nodeEndpoint(worker),
    onLost(report) {
      worker.on("error", (error) => report(error.message));
      worker.on("exit", (code) => report(`exit code ${code}`));
    },
    terminate: () => void worker.terminate(),
  };
}
