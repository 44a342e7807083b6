/** Starts the worker in a browser. */

import { type Spawned, spawned } from "../workers/spawned.js";

export async function spawn(): Promise<Spawned> {
  return spawned(new Worker(new URL("../workers/clip.worker.js", import.meta.url), { type: "module" }));
}
