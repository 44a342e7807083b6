/** The worker of a model that encodes, in Node. */

import { ENCODING_MODULES } from "../runtime/encoding-modules.js";
import { encodingService } from "../service/service.js";
import { answerParent, NODE } from "./node.js";

answerParent(encodingService({ ...NODE, modules: ENCODING_MODULES }));
