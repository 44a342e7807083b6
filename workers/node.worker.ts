/** Entry of the worker in Node. */

import { parentPort, Worker } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { readMerges } from "./merges.js";
import { readAsset, readPath } from "./read-path.node.js";
import { ClipService } from "./service.js";
import { FolderSource } from "./sources/folder.node.js";
import { spawned, WORKER_OPTIONS } from "./spawned.node.js";
import { makeFolder, openCacheFolder, openPlace } from "./store/folder.node.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

if (!parentPort) throw new Error("node.worker.js runs in a worker thread");

expose(
  new ClipService({
    wasm: (module) => readAsset(`./wasm/${module}_bg.wasm`),
    tokenizers: () => readAsset("./wasm/tokenizers_bg.wasm"),
    merges: async () => readMerges(await readAsset("../../assets/clip-merges.txt.gz")),
    store: openCacheFolder,
    folder: makeFolder,
    place: openPlace,
    disk: { source: FolderSource.open, folder: FolderSource.find },
    readPath,
    loader: () => spawned(new Worker(new URL("./loader.node.worker.js", import.meta.url), WORKER_OPTIONS)),
  }),
  nodeEndpoint(parentPort),
);
