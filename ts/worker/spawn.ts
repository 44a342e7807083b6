/** Starts the worker in a browser. */

import { type SpawnedWorker, spawnedWorker } from "../../workers/protocol/spawned-worker.js";

export async function spawn(): Promise<SpawnedWorker> {
  return spawnedWorker(() => new Worker(new URL("../../workers/entries/clip.js", import.meta.url), { type: "module" }));
}
