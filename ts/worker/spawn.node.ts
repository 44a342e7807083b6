/** Starts the workers in Node. Addresses are literals beside the bundled file, which tracers of files find. */

import { Worker } from "node:worker_threads";
import type { SpawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { spawnedWorker, WORKER_OPTIONS } from "../../workers/protocol/spawned-worker.node.js";

export async function spawnEncoder(): Promise<SpawnedWorker> {
  return spawnedWorker(() => new Worker(new URL("./workers/encode.node.js", import.meta.url), WORKER_OPTIONS));
}

export async function spawnTrainer(): Promise<SpawnedWorker> {
  return spawnedWorker(() => new Worker(new URL("./workers/train.node.js", import.meta.url), WORKER_OPTIONS));
}
