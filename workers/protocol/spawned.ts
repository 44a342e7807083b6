/** A worker that runs, in a browser. */

import type { Endpoint } from "comlink";
import { isLifeLock } from "./life.js";

/** How to talk to a worker, how to hear that it died, how to end it. */
export interface Spawned {
  endpoint: Endpoint;
  onLost(report: (reason: string) => void): void;
  terminate(): void;
}

export function spawned(worker: Worker): Spawned {
  return {
    endpoint: worker,
    onLost(report) {
      worker.addEventListener("error", (event) => report(event.message || "the worker's script failed to load"));
      worker.addEventListener("messageerror", () => report("a message could not be read"));
      worker.addEventListener("message", ({ data }) => {
        // the lock that it holds for as long as it lives: nothing else tells that it was killed
        if (isLifeLock(data)) navigator.locks.request(data, () => report("the worker was ended"));
      });
    },
    terminate: () => worker.terminate(),
  };
}
