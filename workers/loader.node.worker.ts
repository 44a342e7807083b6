/** Entry of the worker that makes images, in Node. */

import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { ImageLoader } from "./image-loader.js";
import { readAsset, readPath } from "./read-path.node.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

if (!parentPort) throw new Error("loader.node.worker.js runs in a worker thread");

expose(
  new ImageLoader({ wasm: (module) => readAsset(`./wasm/${module}_bg.wasm`), readPath }),
  nodeEndpoint(parentPort),
);
