/** Entry of the worker in Node. */

import { readFile } from "node:fs/promises";
import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { readMerges } from "./merges.js";
import { ClipService } from "./service.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

if (!parentPort) throw new Error("node.worker.js runs in a worker thread");

const asset = async (path: string) => new Uint8Array(await readFile(new URL(path, import.meta.url)));

expose(
  new ClipService({
    wasm: () => asset("./wasm/clip_wasm_bg.wasm"),
    merges: async () => readMerges(await asset("../../assets/clip-merges.txt.gz")),
  }),
  nodeEndpoint(parentPort),
);
