/** Joins the calls of a model's worker into the object that its entry exposes. */

import type { EncodingWorkerApi, TrainingWorkerApi } from "../protocol/api.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import { encodingCalls } from "./encoding-calls.js";
import { loadingCalls } from "./loading-calls.js";
import type { Platform } from "./platform.js";
import { probeCalls } from "./probe-calls.js";
import { savingCalls } from "./saving-calls.js";
import { Session } from "./session.js";
import { trainerCalls } from "./trainer-calls.js";
import { trainingCalls } from "./training-calls.js";

const callsOnModel = (session: Session): EncodingWorkerApi => ({
  ...loadingCalls(session),
  ...encodingCalls(session),
  ...probeCalls(session),
  ...savingCalls(session),
});

/** Answers calls about a model that encodes. */
export const encodingService = (platform: Platform<"encode">): EncodingWorkerApi => callsOnModel(new Session(platform));

/** Answers calls about a model that trains; `imageLoader` starts a worker that runs `entries/images.ts`. */
export function trainingService(platform: Platform<"train">, imageLoader: () => SpawnedWorker): TrainingWorkerApi {
  const session = new Session(platform);
  return { ...callsOnModel(session), ...trainerCalls(session), ...trainingCalls(session, imageLoader) };
}
