/** The worker of an index, in Node. */

import { parentPort } from "node:worker_threads";
import { expose } from "comlink";
import nodeEndpoint from "comlink/dist/esm/node-adapter.mjs";
import { indexService } from "../index/index-service.js";
import { answering } from "../protocol/answer.js";
import { indexUrl } from "../runtime/index-wasm.js";
import { readPackaged } from "../runtime/packaged-file.node.js";
import { sqliteStores } from "../stores/sqlite.node.js";

if (!parentPort) throw new Error("this file runs in a worker thread");

const service = indexService({ module: () => readPackaged(indexUrl()), stores: sqliteStores });
expose(answering(service), nodeEndpoint(parentPort));
