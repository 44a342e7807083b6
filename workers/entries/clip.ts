/** A model's worker, in a browser. */

import { expose } from "comlink";
import { readMerges } from "../loading/merges.js";
import { answering } from "../protocol/answer.js";
import { forwardLiveness, holdLivenessLock } from "../protocol/liveness.js";
import { spawnedWorker } from "../protocol/spawned-worker.js";
import { browserGpu } from "../runtime/gpu.js";
import { fetchPackaged } from "../runtime/packaged-file.js";
import { WASM_URLS } from "../runtime/wasm-urls.js";
import { createService } from "../service/service.js";
import { makeFolder, openCacheFolder, resolvePath } from "../storage/opfs.js";

holdLivenessLock((name) => self.postMessage(name));

expose(
  answering(
    createService({
      wasm: async (module) => WASM_URLS[module],
      gpu: browserGpu,
      thread: () => forwardLiveness(new Worker(new URL("./thread.js", import.meta.url), { type: "module" })),
      tokenizers: async () => new URL("../wasm/tokenizers_bg.wasm", import.meta.url),
      merges: async () =>
        readMerges(await fetchPackaged(new URL("../../../assets/clip-merges.txt.gz", import.meta.url))),
      cacheFolder: openCacheFolder,
      makeFolder,
      resolvePath,
      imageLoader: () => spawnedWorker(() => new Worker(new URL("./loader.js", import.meta.url), { type: "module" })),
    }),
  ),
);
