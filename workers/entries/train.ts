/** The worker of a model that trains, in a browser. */

import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { trainingService } from "../service/service.js";
import { answerParent } from "./answer-parent.js";
import { BROWSER, imageLoader } from "./browser.js";

answerParent(trainingService({ ...BROWSER, modules: TRAINING_MODULES }, imageLoader));
