/** A model's worker, in Node. */

import { parentPort, Worker } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { readMerges } from "../loading/merges.js";
import { FolderSource } from "../loading/sources/folder.node.js";
import { answering } from "../protocol/answer.js";
import { spawnedWorker, WORKER_OPTIONS } from "../protocol/spawned-worker.node.js";
import { OwnEnd } from "../protocol/worker-end.node.js";
import { nodeGpu } from "../runtime/gpu.node.js";
import { readPackaged } from "../runtime/packaged-file.node.js";
import { WASM_URLS } from "../runtime/wasm-urls.js";
import { createService } from "../service/service.js";
import { makeFolder, openCacheFolder, resolvePath } from "../storage/folder.node.js";
import { readPath } from "../storage/read-file.node.js";

if (!parentPort) throw new Error("clip.node.js runs in a worker thread");
const end = new OwnEnd(parentPort);

expose(
  answering(
    createService({
      wasm: (module) => readPackaged(WASM_URLS[module]),
      gpu: () => nodeGpu(end),
      tokenizers: () => readPackaged(new URL("../wasm/tokenizers_bg.wasm", import.meta.url)),
      merges: async () =>
        readMerges(await readPackaged(new URL("../../../assets/clip-merges.txt.gz", import.meta.url))),
      cacheFolder: openCacheFolder,
      makeFolder,
      resolvePath,
      disk: { source: FolderSource.open, folder: FolderSource.find },
      readPath,
      imageLoader: () => spawnedWorker(() => new Worker(new URL("./loader.node.js", import.meta.url), WORKER_OPTIONS)),
    }),
  ),
  nodeEndpoint(parentPort),
);
