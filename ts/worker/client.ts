/** The workers of models. */

import { spawnEncoder, spawnTrainer } from "#spawn";
import type { EncodingWorkerApi, TrainingWorkerApi } from "../../workers/protocol/api.js";
import { WorkerClient as Client } from "../../workers/protocol/client.js";

/** Calls to the worker of a model, which encodes. */
export type WorkerClient = Client<EncodingWorkerApi>;

/** Calls to the worker of a model that trains. */
export type TrainingClient = Client<TrainingWorkerApi>;

/** Starts a worker that encodes. */
export const startEncoder = async (): Promise<WorkerClient> => new Client(await spawnEncoder());

/** Starts a worker that trains. */
export const startTrainer = async (): Promise<TrainingClient> => new Client(await spawnTrainer());
