/** Calls that save the model. */

import { transfer } from "comlink";
import type { SavingApi } from "../protocol/api.js";
import { copied } from "./copied.js";
import type { Session } from "./session.js";

/** Answers the calls for a session. */
export function savingCalls(session: Session): SavingApi {
  return {
    save: (layout) =>
      session.queueOnModel(async (model) => {
        const bytes = copied(await model.save(layout));
        return transfer(bytes, [bytes.buffer]);
      }),

    exportFiles: (layout) =>
      session.queueOnModel(async (model) => {
        const files = await model.exportFiles(layout);
        const taken = files.names.map((name, index) => ({ name, data: copied(files.take(index)) }));
        files.free();
        for (const { name, data } of session.tokenizer?.files ?? []) taken.push({ name, data: copied(data.slice()) });
        return transfer(
          taken,
          taken.map(({ data }) => data.buffer),
        );
      }),
  };
}
