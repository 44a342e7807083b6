/** Calls that train and evaluate. */

import { transfer } from "comlink";
import { loadImage } from "../loading/images.js";
import type { TrainingApi } from "../protocol/api.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import type { WirePair } from "../protocol/train.js";
import { copied } from "./copied.js";
import { toMatrix } from "./matrix.js";
import type { Session } from "./session.js";

/** Answers the calls for a session; `imageLoader` starts a worker that runs `entries/images.ts`. */
export function trainingCalls(session: Session<"train">, imageLoader: () => SpawnedWorker): TrainingApi {
  const { platform } = session;
  return {
    openPairs: () => session.queueOnTraining((training) => training.open()),

    openRunPairs: (settings) => session.queueOnTraining((training) => training.openRun(settings, imageLoader)),

    async pushPairs(handle, pairs, options) {
      const images = await Promise.allSettled(pairs.map(({ image }) => loadImage(image, platform.readPath)));
      const loaded = images.map((image, i) => ({ pair: pairs[i] as WirePair, image }));
      return session.queueOnTraining((training) => training.push(handle, loaded, options));
    },

    closePairs: (handle) => session.queueOnTraining((training) => training.close(handle)),

    startFit: (handle, settings) => session.queueOnTraining((training) => training.start(handle, settings)),

    stepFit: () => session.queueOnTraining((training) => training.step()),

    stopFit: () => session.queueOnTraining((training) => training.stop()),

    evaluate: (pairs, distractors) => session.queueOnTraining((training) => training.evaluate(pairs, distractors)),

    embedPairImages: (pairs) =>
      session.queueOnTraining(async (training) => {
        const { data, rows } = await training.embedImages(pairs);
        return toMatrix(data, data.length / rows);
      }),

    gradients: (pixels, ids, layout) =>
      session.queueOnTraining(async ({ trainingSession }) => {
        const result = await trainingSession.gradients(pixels, ids, layout);
        const { loss } = result;
        const safetensors = copied(result.safetensors);
        result.free();
        return transfer({ loss, safetensors }, [safetensors.buffer]);
      }),

    stepOn: (pixels, ids, lr) =>
      session.queueOnTraining(({ trainingSession }) => trainingSession.stepOn(pixels, ids, lr)),
  };
}
