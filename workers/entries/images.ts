/** The worker that augments images for a run, in a browser. */

import { expose } from "comlink";
import { answering } from "../protocol/answer.js";
import { holdLivenessLock } from "../protocol/liveness.js";
import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { ImageLoader } from "../service/image-loader.js";

holdLivenessLock((name) => self.postMessage(name));

expose(answering(new ImageLoader({ modules: TRAINING_MODULES, binary: async (url) => url })));
