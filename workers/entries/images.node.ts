/** The worker that augments images for a run, in Node. */

import { readPackaged } from "../runtime/packaged-file.node.js";
import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { ImageLoader } from "../service/image-loader.js";
import { readPath } from "../storage/read-file.node.js";
import { answerParent } from "./node.js";

answerParent(new ImageLoader({ modules: TRAINING_MODULES, binary: readPackaged, readPath }));
