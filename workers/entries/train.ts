/** The worker of a model that trains, in a browser. */

import { expose } from "comlink";
import { answering } from "../protocol/answer.js";
import { holdLivenessLock } from "../protocol/liveness.js";
import { TRAINING_MODULES } from "../runtime/training-modules.js";
import { trainingService } from "../service/service.js";
import { BROWSER, imageLoader } from "./browser.js";

holdLivenessLock((name) => self.postMessage(name));

expose(answering(trainingService({ ...BROWSER, modules: TRAINING_MODULES }, imageLoader)));
