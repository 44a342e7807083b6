/** The worker that augments images for a run, in a browser. */

import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { ImageLoader } from "../service/image-loader.js";
import { answerParent } from "./answer-parent.js";

answerParent(new ImageLoader({ modules: TRAINING_MODULES, binary: async (url) => url }));
