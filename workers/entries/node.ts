/** What the workers of a model need from Node, Deno and Bun. */

import { parentPort, Worker } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { mergesUrl, readMerges } from "../loading/merges.js";
import { FolderSource } from "../loading/sources/folder.node.js";
import { answering } from "../protocol/answer.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import { spawnedWorker, startWorker, WORKER_OPTIONS } from "../protocol/spawned-worker.node.js";
import { OwnEnd } from "../protocol/worker-end.node.js";
import { nodeGpu } from "../runtime/gpu.node.js";
import { readPackaged } from "../runtime/packaged-file.node.js";
import { tokenizersUrl } from "../runtime/tokenizers-wasm.js";
import type { Platform } from "../service/platform.js";
import { makeFolder, openCacheFolder, resolvePath } from "../storage/folder.node.js";
import { readPath } from "../storage/read-file.node.js";

if (!parentPort) throw new Error("this file runs in a worker thread");
const port = parentPort;
const end = new OwnEnd(port);

/** Everything but the modules. */
export const NODE: Omit<Platform, "modules"> = {
  binary: readPackaged,
  gpu: () => nodeGpu(end),
  tokenizers: () => readPackaged(tokenizersUrl()),
  merges: async () => readMerges(await readPackaged(mergesUrl())),
  cacheFolder: openCacheFolder,
  makeFolder,
  resolvePath,
  disk: { source: FolderSource.open, folder: FolderSource.find },
  readPath,
};

/** Starts the worker that augments images. */
export function imageLoader(): SpawnedWorker {
  const own = () => new Worker(new URL("./images.node.js", import.meta.url), WORKER_OPTIONS);
  return spawnedWorker(() => startWorker("images.node.js", own));
}

/** Answers calls of the thread that started this worker. */
export const answerParent = (service: object): void => expose(answering(service), nodeEndpoint(port));
