/** Starts the worker of an index. */

import { spawnIndex } from "#spawn/index";
import { ownAddresses } from "../../workers/protocol/addresses.js";
import { WorkerClient } from "../../workers/protocol/client.js";
import type { IndexWorkerApi } from "../../workers/protocol/index-api.js";

/** Calls to the worker of an index. */
export type IndexClient = WorkerClient<IndexWorkerApi>;

export async function startIndex(): Promise<IndexClient> {
  const client = new WorkerClient<IndexWorkerApi>(await spawnIndex(), "index");
  const addresses = ownAddresses();
  // a worker that does not start fails the next call, too
  if (addresses) client.call((api) => api.locate(addresses)).catch(() => undefined);
  return client;
}
