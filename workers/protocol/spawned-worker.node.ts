/** A running worker, in Node. */

import type { Worker } from "node:worker_threads";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import type { SpawnedWorker } from "./spawned-worker.js";

/** Options for workers: those of the process, such as `--input-type`, may only suit its own entry. */
export const WORKER_OPTIONS = { execArgv: [] };

/** Wraps a worker. */
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
