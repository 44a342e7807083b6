/** Entry of the worker that makes images, in a browser. */

import { expose } from "comlink";
import { ImageLoader } from "./image-loader.js";
import { holdLifeLock } from "./life.js";
import { registerTransferHandlers } from "./transfer.js";

registerTransferHandlers();

holdLifeLock((name) => self.postMessage(name));

expose(new ImageLoader({ wasm: async () => new URL("./wasm/clip_wasm_bg.wasm", import.meta.url) }));
