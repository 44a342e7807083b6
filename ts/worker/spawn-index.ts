/** Starts the worker of an index, in a browser. The address is as seen from the bundled file. */

import { type SpawnedWorker, spawnedWorker } from "../../workers/protocol/spawned-worker.js";
import { startWorker } from "../../workers/protocol/start-worker.js";

export async function spawnIndex(): Promise<SpawnedWorker> {
  const bundled = () => new Worker(new URL("./workers/search.js", import.meta.url), { type: "module" });
  return spawnedWorker(() => startWorker("./workers/search.js", import.meta.url, bundled));
}
