/** A running worker, in Node. */

import { Worker } from "node:worker_threads";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { givenAddress } from "./addresses.js";
import { ownArrays } from "./own-arrays.node.js";
import { type SpawnedWorker, started } from "./spawned-worker.js";
import { WorkerEnd } from "./worker-end.node.js";

/** Options for workers: those of the process, such as `--input-type`, may only suit its own entry. */
export const WORKER_OPTIONS = { execArgv: [] };

/** Starts the worker of a file where the user says, or else its own, by a literal address. */
export function startWorker(name: string, own: () => Worker): Worker {
  const given = givenAddress("workerUrl", name);
  return given ? new Worker(given, WORKER_OPTIONS) : own();
}

/** Says why a worker failed, and what to do where a bundler has moved the code away from its worker. */
function reasonOf(error: Error & { code?: unknown }): string {
  const { code, name, message } = error;
  const isMislaid = name === "SyntaxError" || /MODULE_NOT_FOUND|INVALID_URL/.test(String(code));
  return isMislaid ? `${message}: did a bundler take clipwright in? make it external` : message;
}

/**
 * Starts a worker and wraps it. The process ends without waiting for it, unless it is busy.
 *
 * @throws ClipError `platform-unsupported` where workers are forbidden, as by Node's `--permission`
 */
export function spawnedWorker(start: () => Worker): SpawnedWorker {
  const worker = started(start, reasonOf);
  const end = new WorkerEnd(worker);
  worker.unref();
  return {
    endpoint: nodeEndpoint(worker),
    onLost(report) {
      worker.on("error", (error) => report(reasonOf(error)));
      worker.on("exit", (code) => report(`exit code ${code}`));
    },
    own: ownArrays,
    setBusy: (busy) => (busy ? worker.ref() : worker.unref()),
    terminate: () => end.end(),
  };
}
