/** Calls of the linear probe. */

import type { ProbeApi } from "../protocol/api.js";
import { toMatrix } from "./matrix.js";
import type { Session } from "./session.js";

/** Answers the calls for a session. */
export function probeCalls(session: Session): ProbeApi {
  return {
    fitProbe: (features, classes, classCount, c) =>
      session.queueInCore(({ wasm }) => {
        const [, dim] = features.shape;
        const probe = wasm.LinearProbe.fit(features.data, dim, classes, classCount, c);
        const { weights } = probe;
        probe.free();
        return toMatrix(weights, dim + 1);
      }),

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
