/** The worker that augments images for a run, in a browser. */

import { expose } from "comlink";
import { answering } from "../protocol/answer.js";
import { holdLivenessLock } from "../protocol/liveness.js";
import { WASM_URLS } from "../runtime/wasm-urls.js";
import { ImageLoader } from "../service/image-loader.js";

holdLivenessLock((name) => self.postMessage(name));

expose(answering(new ImageLoader({ wasm: async (module) => WASM_URLS[module] })));
