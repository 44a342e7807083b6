/** Entry of the worker in Node. */

import { open, readFile, rename, rm } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { openFolder } from "./cache/folder.node.js";
import { ClipError } from "./error.js";
import { readMerges } from "./merges.js";
import { ClipService } from "./service.js";
import { FolderSource } from "./sources/folder.node.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

if (!parentPort) throw new Error("node.worker.js runs in a worker thread");

const asset = async (path: string) => new Uint8Array(await readFile(new URL(path, import.meta.url)));

expose(
  new ClipService({
    wasm: () => asset("./wasm/clip_wasm_bg.wasm"),
    tokenizers: () => asset("./wasm/tokenizers_wasm_bg.wasm"),
    merges: async () => readMerges(await asset("../../assets/clip-merges.txt.gz")),
    store: openFolder,
    folder: FolderSource.open,
    readPath: async (path) => {
      try {
        return new Uint8Array(await readFile(path));
      } catch (error) {
        const { message } = error as Error;
        throw new ClipError("source-unreadable", `expected a file at ${path}, got: ${message}`, { cause: error });
      }
    },
    writePath: async (path, bytes) => {
      const draft = `${path}.${process.pid}.part`;
      try {
        const file = await open(draft, "w");
        try {
          await file.writeFile(bytes);
          // on the disk before it takes the place of the last one
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true }).catch(() => undefined);
        const { message } = error as Error;
        throw new ClipError("target-unwritable", `expected to write ${path}, got: ${message}`, { cause: error });
      }
    },
  }),
  nodeEndpoint(parentPort),
);
