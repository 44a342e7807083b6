/** Entry of the worker that makes images, in Node. */

import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { registerTransferHandlers } from "../protocol/transfer.js";
import { WASM_ADDRESSES } from "../runtime/wasm-addresses.js";
import { ImageLoader } from "../service/image-loader.js";
import { readAsset, readPath } from "../storage/read-path.node.js";

registerTransferHandlers();

if (!parentPort) throw new Error("loader.node.js runs in a worker thread");

expose(new ImageLoader({ wasm: (module) => readAsset(WASM_ADDRESSES[module]), readPath }), nodeEndpoint(parentPort));
