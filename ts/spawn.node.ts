/** Starts the worker in Node. */

import { Worker } from "node:worker_threads";
import type { Spawned } from "../workers/spawned.js";
import { spawned, WORKER_OPTIONS } from "../workers/spawned.node.js";

export async function spawn(): Promise<Spawned> {
  return spawned(new Worker(new URL("../workers/node.worker.js", import.meta.url), WORKER_OPTIONS));
}
