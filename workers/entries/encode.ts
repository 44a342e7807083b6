/** The worker of a model that encodes, in a browser. */

import { ENCODING_MODULES } from "../runtime/encoding-modules.js";
import { encodingService } from "../service/service.js";
import { answerParent } from "./answer-parent.js";
import { BROWSER } from "./browser.js";

answerParent(encodingService({ ...BROWSER, modules: ENCODING_MODULES }));
