/** Starts the workers in a browser. Addresses are as seen from the bundled file. */

import { type SpawnedWorker, spawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { startWorker } from "../../workers/protocol/start-worker.js";

export async function spawnEncoder(): Promise<SpawnedWorker> {
  const bundled = () => new Worker(new URL("./workers/encode.js", import.meta.url), { type: "module" });
  return spawnedWorker(() => startWorker("./workers/encode.js", import.meta.url, bundled));
}

export async function spawnTrainer(): Promise<SpawnedWorker> {
  const bundled = () => new Worker(new URL("./workers/train.js", import.meta.url), { type: "module" });
  return spawnedWorker(() => startWorker("./workers/train.js", import.meta.url, bundled));
}
