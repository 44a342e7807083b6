/** A running worker, in a browser. */

import type { Endpoint } from "comlink";
import { isLivenessLock } from "./liveness.js";

/** A running worker, as a client needs it. */
export interface SpawnedWorker {
  /** Where comlink talks to it. */
  endpoint: Endpoint;
  /** Calls `report` with a reason when the worker ends unasked. */
  onLost(report: (reason: string) => void): void;
  /** Ends the worker. */
  terminate(): void;
}

/** Wraps a worker. */
export function spawnedWorker(worker: Worker): SpawnedWorker {
  return {
    endpoint: worker,
    onLost(report) {
      worker.addEventListener("error", (event) => report(event.message || "the worker's script failed to load"));
      worker.addEventListener("messageerror", () => report("a message could not be read"));
      worker.addEventListener("message", ({ data }) => {
        if (isLivenessLock(data)) navigator.locks.request(data, () => report("the worker was ended"));
      });
    },
    terminate: () => worker.terminate(),
  };
}
