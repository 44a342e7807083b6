/** Starts a worker that encodes. Apart from the one that trains: bundlers deploy every worker that a file names, used or not. */

import { spawnEncoder } from "#spawn/encoder";
import type { EncodingWorkerApi } from "../../workers/protocol/api.js";
import { clientOf, type WorkerClient } from "./client.js";

export const startEncoder = async (): Promise<WorkerClient> => clientOf<EncodingWorkerApi>(await spawnEncoder());
