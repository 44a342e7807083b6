/** Entry of the worker that makes images, in a browser. */

import { expose } from "comlink";
import { holdLifeLock } from "../protocol/life.js";
import { registerTransferHandlers } from "../protocol/transfer.js";
import { WASM_ADDRESSES } from "../runtime/wasm-addresses.js";
import { ImageLoader } from "../service/image-loader.js";

registerTransferHandlers();

holdLifeLock((name) => self.postMessage(name));

expose(new ImageLoader({ wasm: async (module) => WASM_ADDRESSES[module] }));
