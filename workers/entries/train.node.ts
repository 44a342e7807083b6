/** The worker of a model that trains, in Node. */

import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { trainingService } from "../service/service.js";
import { answerParent, imageLoader, NODE } from "./node.js";

answerParent(trainingService({ ...NODE, modules: TRAINING_MODULES }, imageLoader));
