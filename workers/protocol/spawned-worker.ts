/** A worker that runs, in a browser. */

import type { Endpoint } from "comlink";
import { isLivenessLock } from "./liveness.js";

/** How to talk to a worker, how to hear that it died, how to end it. */
export interface SpawnedWorker {
  endpoint: Endpoint;
  onLost(report: (reason: string) => void): void;
  terminate(): void;
}

export function spawnedWorker(worker: Worker): SpawnedWorker {
  return {
    endpoint: worker,
    onLost(report) {
      worker.addEventListener("error", (event) => report(event.message || "the worker's script failed to load"));
      worker.addEventListener("messageerror", () => report("a message could not be read"));
      worker.addEventListener("message", ({ data }) => {
        // the lock that it holds for as long as it lives: nothing else tells that it was killed
        if (isLivenessLock(data)) navigator.locks.request(data, () => report("the worker was ended"));
      });
    },
    terminate: () => worker.terminate(),
  };
}
