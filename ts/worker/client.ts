/** Calls the workers of models. */

import { ownAddresses } from "../../workers/protocol/addresses.js";
import type { EncodingWorkerApi, TrainingWorkerApi } from "../../workers/protocol/api.js";
import { WorkerClient as Client } from "../../workers/protocol/client.js";
import type { SpawnedWorker } from "../../workers/protocol/spawned-worker.js";

/** Calls to the worker of a model, which encodes. */
export type WorkerClient = Client<EncodingWorkerApi>;

/** Calls to the worker of a model that trains. */
export type TrainingClient = Client<TrainingWorkerApi>;

/** Calls a worker; tells it first where the package's files lie, if the user has said so. */
export function clientOf<Api extends EncodingWorkerApi>(spawned: SpawnedWorker): Client<Api> {
  const client = new Client<Api>(spawned);
  const addresses = ownAddresses();
  // a worker that does not start fails the next call, too
  if (addresses) (client as WorkerClient).call((api) => api.locate(addresses)).catch(() => undefined);
  return client;
}
