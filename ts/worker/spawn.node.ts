/** Starts the worker in Node. */

import { Worker } from "node:worker_threads";
import type { SpawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { spawnedWorker, WORKER_OPTIONS } from "../../workers/protocol/spawned-worker.node.js";

export async function spawn(): Promise<SpawnedWorker> {
  return spawnedWorker(
    () => new Worker(new URL("../../workers/entries/clip.node.js", import.meta.url), WORKER_OPTIONS),
  );
}
