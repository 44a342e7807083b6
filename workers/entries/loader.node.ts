/** The worker that augments images for a run, in Node. */

import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { answering } from "../protocol/answer.js";
import { readPackaged } from "../runtime/packaged-file.node.js";
import { WASM_URLS } from "../runtime/wasm-urls.js";
import { ImageLoader } from "../service/image-loader.js";
import { readPath } from "../storage/read-file.node.js";

if (!parentPort) throw new Error("loader.node.js runs in a worker thread");

expose(
  answering(new ImageLoader({ wasm: (module) => readPackaged(WASM_URLS[module]), readPath })),
  nodeEndpoint(parentPort),
);
