/** Starts the worker of an index, in Node. The address is as seen from the bundled file, and a literal, which tracers of files find. */

import { Worker } from "node:worker_threads";
import type { SpawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { spawnedWorker, startWorker, WORKER_OPTIONS } from "../../workers/protocol/spawned-worker.node.js";

export async function spawnIndex(): Promise<SpawnedWorker> {
  const own = () => new Worker(new URL("./workers/search.node.js", import.meta.url), WORKER_OPTIONS);
  return spawnedWorker(() => startWorker("search.node.js", own));
}
