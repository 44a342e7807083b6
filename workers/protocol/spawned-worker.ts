/** A running worker, in a browser. */

import type { Endpoint } from "comlink";
import { ClipError } from "./error.js";
import { isLivenessLock } from "./liveness.js";

/** A running worker, as a client needs it. */
export interface SpawnedWorker {
  /** Where comlink talks to it. */
  endpoint: Endpoint;
  /** Calls `report` with a reason when the worker ends unasked. */
  onLost(report: (reason: string) => void): void;
  /** Says whether a call is open: Node's process ends without waiting for an idle worker. */
  setBusy?(busy: boolean): void;
  /** Converts an answer to classes of the caller's realm; only Node needs it. */
  own?<Answer>(answer: Answer): Answer;
  /** Ends the worker. */
  terminate(): void;
}

/** What to do where there are no workers. */
function adviceWithoutWorkers(): string {
  const { process } = globalThis as { process?: { versions?: { node?: string } } };
  if (process?.versions?.node) {
    return 'this is Node with the build for browsers: resolve clipwright under the condition "node" (in Jest\'s jsdom testEnvironmentOptions: { customExportConditions: ["node"] }), or leave it out of the bundle';
  }
  // Cloudflare's workers have the class of service workers, too, but no registration
  if ("registration" in globalThis)
    return "a service worker cannot start any: use clipwright in the page, or in an offscreen document of an extension";
  return "use clipwright in a page, in a worker of it, in Node, Deno or Bun";
}

/**
 * Starts a worker and wraps it.
 *
 * @throws ClipError `platform-unsupported` where there are no workers, or where they are forbidden
 */
export function spawnedWorker(start: () => Worker): SpawnedWorker {
  if (typeof Worker === "undefined") {
    throw new ClipError(
      "platform-unsupported",
      `the model runs in a worker, and there is no Worker here: ${adviceWithoutWorkers()}`,
    );
  }
  const worker = started(start);
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

/** @throws ClipError `platform-unsupported` where the platform refuses to start a worker */
export function started<T>(start: () => T, reasonOf = ({ message }: Error) => message): T {
  try {
    return start();
  } catch (error) {
    const reason = reasonOf(error as Error);
    throw new ClipError("platform-unsupported", `the model runs in a worker, and none can be started: ${reason}`, {
      cause: error,
    });
  }
}
