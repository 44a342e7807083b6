/** Starts the workers in a browser. Addresses are literals beside the bundled file, which bundlers find. */

import { type SpawnedWorker, spawnedWorker } from "../../workers/protocol/spawned-worker.js";

export async function spawnEncoder(): Promise<SpawnedWorker> {
  return spawnedWorker(() => new Worker(new URL("./workers/encode.js", import.meta.url), { type: "module" }));
}

export async function spawnTrainer(): Promise<SpawnedWorker> {
  return spawnedWorker(() => new Worker(new URL("./workers/train.js", import.meta.url), { type: "module" }));
}
