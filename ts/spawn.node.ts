/** Starts the worker in Node. */

import { Worker } from "node:worker_threads";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import type { Spawned } from "./spawn.js";

export async function spawn(): Promise<Spawned> {
  const worker = new Worker(new URL("../workers/node.worker.js", import.meta.url), {
    // the process's own options may be for its entry alone, such as --input-type
    execArgv: [],
  });
  return {
    endpoint: nodeEndpoint(worker),
    onLost(report) {
      worker.on("error", (error) => report(error.message));
      worker.on("exit", (code) => report(`exit code ${code}`));
    },
    terminate: () => void worker.terminate(),
  };
}
