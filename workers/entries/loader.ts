/** The worker that augments images for a run, in a browser. */

import { expose } from "comlink";
import { holdLivenessLock } from "../protocol/liveness.js";
import { registerTransferHandlers } from "../protocol/transfer.js";
import { WASM_URLS } from "../runtime/wasm-urls.js";
import { ImageLoader } from "../service/image-loader.js";

registerTransferHandlers();

holdLivenessLock((name) => self.postMessage(name));

expose(new ImageLoader({ wasm: async (module) => WASM_URLS[module] }));
