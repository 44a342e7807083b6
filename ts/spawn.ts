/** Starts the worker in a browser. */

import type { Endpoint } from "comlink";
import { isLifeLock } from "../workers/life.js";

/** A running worker: how to talk to it, how to hear that it died, how to end it. */
export interface Spawned {
  endpoint: Endpoint;
  onLost(report: (reason: string) => void): void;
  terminate(): void;
}

export async function spawn(): Promise<Spawned> {
  const worker = new Worker(new URL("../workers/clip.worker.js", import.meta.url), { type: "module" });
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
