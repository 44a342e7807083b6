/** Entry of the worker in Node. */

import { readFile } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { ClipError } from "./error.js";
import { readMerges } from "./merges.js";
import { ClipService } from "./service.js";
import { FolderSource } from "./sources/folder.node.js";
import { makeFolder, openCacheFolder, openPlace } from "./store/folder.node.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

if (!parentPort) throw new Error("node.worker.js runs in a worker thread");

const asset = async (path: string) => new Uint8Array(await readFile(new URL(path, import.meta.url)));

expose(
  new ClipService({
    wasm: () => asset("./wasm/clip_wasm_bg.wasm"),
    tokenizers: () => asset("./wasm/tokenizers_wasm_bg.wasm"),
    merges: async () => readMerges(await asset("../../assets/clip-merges.txt.gz")),
    store: openCacheFolder,
    folder: makeFolder,
    place: openPlace,
    source: FolderSource.open,
    readPath: async (path) => {
      try {
        return new Uint8Array(await readFile(path));
      } catch (error) {
        const { message } = error as Error;
        throw new ClipError("source-unreadable", `expected a file at ${path}, got: ${message}`, { cause: error });
      }
    },
  }),
  nodeEndpoint(parentPort),
);
