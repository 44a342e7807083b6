/** Entry of the worker in Node. */

import { parentPort, Worker } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { readMerges } from "../loading/merges.js";
import { FolderSource } from "../loading/sources/folder.node.js";
import { spawned, WORKER_OPTIONS } from "../protocol/spawned.node.js";
import { registerTransferHandlers } from "../protocol/transfer.js";
import { WASM_ADDRESSES } from "../runtime/wasm-addresses.js";
import { ClipService } from "../service/service.js";
import { makeFolder, openCacheFolder, openPlace } from "../storage/folder.node.js";
import { readAsset, readPath } from "../storage/read-path.node.js";

registerTransferHandlers();

if (!parentPort) throw new Error("clip.node.js runs in a worker thread");

expose(
  new ClipService({
    wasm: (module) => readAsset(WASM_ADDRESSES[module]),
    tokenizers: () => readAsset(new URL("../wasm/tokenizers_bg.wasm", import.meta.url)),
    merges: async () => readMerges(await readAsset(new URL("../../../assets/clip-merges.txt.gz", import.meta.url))),
    store: openCacheFolder,
    folder: makeFolder,
    place: openPlace,
    disk: { source: FolderSource.open, folder: FolderSource.find },
    readPath,
    loader: () => spawned(new Worker(new URL("./loader.node.js", import.meta.url), WORKER_OPTIONS)),
  }),
  nodeEndpoint(parentPort),
);
