/** Calls of the linear probe. */

import type { ProbeApi } from "../protocol/api.js";
import type { Session } from "./session.js";

/** Answers the calls for a session. */
export function probeCalls(session: Session): ProbeApi {
  return {
    probeProbabilities: (weights, features) =>
      session.queueInCore(({ wasm }) => {
        const probe = new wasm.LinearProbe(weights.data, weights.shape[1] - 1);
        try {
          return probe.probabilities(features.data);
        } finally {
          probe.free();
        }
      }),
  };
}
