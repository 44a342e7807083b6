/** The worker of a model that encodes, in a browser. */

import { expose } from "comlink";
import { answering } from "../protocol/answer.js";
import { holdLivenessLock } from "../protocol/liveness.js";
import { ENCODING_MODULES } from "../runtime/encoding-modules.js";
import { encodingService } from "../service/service.js";
import { BROWSER } from "./browser.js";

holdLivenessLock((name) => self.postMessage(name));

expose(answering(encodingService({ ...BROWSER, modules: ENCODING_MODULES })));
