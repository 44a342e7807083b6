/** Starts the worker in Node. */

import { Worker } from "node:worker_threads";
import type { Spawned } from "../../workers/protocol/spawned.js";
import { spawned, WORKER_OPTIONS } from "../../workers/protocol/spawned.node.js";

export async function spawn(): Promise<Spawned> {
  return spawned(new Worker(new URL("../../workers/entries/clip.node.js", import.meta.url), WORKER_OPTIONS));
}
