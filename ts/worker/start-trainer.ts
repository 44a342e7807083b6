/** Starts a worker that trains. */

import { spawnTrainer } from "#spawn/trainer";
import type { TrainingWorkerApi } from "../../workers/protocol/api.js";
import { clientOf, type TrainingClient } from "./client.js";

export const startTrainer = async (): Promise<TrainingClient> => clientOf<TrainingWorkerApi>(await spawnTrainer());
