/** Calls that make a trainer, and save it. */

import { transfer } from "comlink";
import type { TrainerApi } from "../protocol/api.js";
import { keepState, restoreState, writeState } from "../storage/states.js";
import { copied } from "./copied.js";
import type { Session } from "./session.js";
import { Training } from "./training.js";

/** Answers the calls for a session. */
export function trainerCalls(session: Session<"train">): TrainerApi {
  const { platform, warnings } = session;
  return {
    create: (request) =>
      session.queueOnDevice(request.device, async (wasm, device) => {
        const tokenizer = new wasm.Tokenizer(request.merges ?? (await platform.merges()), request.reference);
        const training = wasm.TrainingSession.create(request.config, tokenizer, request.seed, device);
        session.setTraining(new Training(training), request.config);
        warnings.push(...training.warnings);
        return session.info();
      }),

    train: () =>
      session.queueInCore(({ wasm }) => {
        session.setTraining(new Training(wasm.TrainingSession.from(session.takeModel())));
        return session.info();
      }),

    resume: (state, choice) =>
      session.queueOnDevice(choice, async (wasm, device) => {
        const restore = (bytes: Uint8Array) =>
          wasm.TrainingSession.fromState(bytes, session.deviceInfo.maxTensorBytes, device);
        if (typeof state === "string") {
          const { restored, damaged } = await restoreState(platform, state, restore);
          if (damaged > 0) warnings.push(`skipped ${damaged} damaged state${damaged === 1 ? "" : "s"} in ${state}`);
          session.setTraining(new Training(restored));
        } else {
          session.setTraining(new Training(restore(state)));
        }
        return session.info();
      }),

    saveAdapter: () =>
      session.queueOnTraining(async ({ trainingSession }) => {
        const adapter = await trainingSession.saveAdapter();
        const { config } = adapter;
        const weights = copied(adapter.weights);
        adapter.free();
        return transfer({ weights, config }, [weights.buffer]);
      }),

    saveState: (path) =>
      session.queueOnTraining(async ({ trainingSession }) => {
        const bytes = copied(await trainingSession.saveState());
        if (path === undefined) return transfer(bytes, [bytes.buffer]);
        await writeState(session.platform, path, bytes);
        return undefined;
      }),

    keepState: (folder, keep) =>
      session.queueOnTraining(async ({ trainingSession }) =>
        keepState(session.platform, folder, await trainingSession.saveState(), keep),
      ),
  };
}
