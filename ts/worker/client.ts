/** The worker of one model. */

import { spawn } from "#spawn";
import type { ClipWorkerApi } from "../../workers/protocol/api.js";
import { WorkerClient as Client } from "../../workers/protocol/client.js";

/** Calls to the worker of a model. */
export class WorkerClient extends Client<ClipWorkerApi> {
  /** Starts a worker. */
  static async start(): Promise<WorkerClient> {
    return new WorkerClient(await spawn());
  }
}
