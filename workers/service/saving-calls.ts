/** Calls that save the model, or the state of its training. */

import { transfer } from "comlink";
import type { SavingApi } from "../protocol/api.js";
import { keepState, writeState } from "../storage/states.js";
import type { Session } from "./session.js";

/** Answers the calls for a session. */
export function savingCalls(session: Session): SavingApi {
  return {
    save: (layout) =>
      session.queueOnModel(async (model) => {
        const bytes = await model.save(layout);
        return transfer(bytes, [bytes.buffer]);
      }),

    exportFiles: (layout) =>
      session.queueOnModel(async (model) => {
        const files = await model.exportFiles(layout);
        const taken = files.names.map((name, index) => ({ name, data: files.take(index) }));
        files.free();
        for (const { name, data } of session.tokenizer?.files ?? []) taken.push({ name, data: data.slice() });
        return transfer(
          taken,
          taken.map(({ data }) => data.buffer),
        );
      }),

    saveAdapter: () =>
      session.queueOnTraining(async ({ trainingSession }) => {
        const adapter = await trainingSession.saveAdapter();
        const { weights, config } = adapter;
        adapter.free();
        return transfer({ weights, config }, [weights.buffer]);
      }),

    saveState: (path) =>
      session.queueOnTraining(async ({ trainingSession }) => {
        const bytes = await trainingSession.saveState();
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
