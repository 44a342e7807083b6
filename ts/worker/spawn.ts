/** Starts the worker in a browser. */

import { type Spawned, spawned } from "../../workers/protocol/spawned.js";

export async function spawn(): Promise<Spawned> {
  return spawned(new Worker(new URL("../../workers/entries/clip.js", import.meta.url), { type: "module" }));
}
