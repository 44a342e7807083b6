/** Entry of the worker that makes images, in a browser. */

import { expose } from "comlink";
import { ImageLoader } from "./image-loader.js";
import { holdLifeLock } from "./life.js";
import { registerTransferHandlers } from "./transfer.js";
import { WASM_ADDRESSES } from "./wasm-addresses.js";

registerTransferHandlers();

holdLifeLock((name) => self.postMessage(name));

expose(new ImageLoader({ wasm: async (module) => WASM_ADDRESSES[module] }));
