/** Joins the calls of a model's worker into the object that its entry exposes. */

import type { ClipWorkerApi } from "../protocol/api.js";
import { encodingCalls } from "./encoding-calls.js";
import { loadingCalls } from "./loading-calls.js";
import type { Platform } from "./platform.js";
import { probeCalls } from "./probe-calls.js";
import { savingCalls } from "./saving-calls.js";
import { Session } from "./session.js";
import { trainingCalls } from "./training-calls.js";

/** Answers calls about one model. */
export function createService(platform: Platform): ClipWorkerApi {
  const session = new Session(platform);
  return {
    ...loadingCalls(session),
    ...encodingCalls(session),
    ...probeCalls(session),
    ...savingCalls(session),
    ...trainingCalls(session),
  };
}
