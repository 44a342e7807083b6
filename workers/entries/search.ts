/** The worker of an index, in a browser. */

import { indexService } from "../index/index-service.js";
import { indexUrl } from "../runtime/index-wasm.js";
import { loadSqlite } from "../runtime/sqlite-wasm.js";
import { opfsStores } from "../stores/opfs.js";
import { answerParent } from "./answer-parent.js";

answerParent(indexService({ module: async () => indexUrl(), stores: opfsStores(loadSqlite) }));
