/** What the workers of a model need from a browser. */

import { mergesUrl, readMerges } from "../loading/merges.js";
import { forwardLiveness } from "../protocol/liveness.js";
import { type SpawnedWorker, spawnedWorker } from "../protocol/spawned-worker.js";
import { startWorker } from "../protocol/start-worker.js";
import { browserGpu } from "../runtime/gpu.js";
import { fetchPackaged } from "../runtime/packaged-file.js";
import { tokenizersUrl } from "../runtime/tokenizers-wasm.js";
import type { Platform } from "../service/platform.js";
import { makeFolder, openCacheFolder, resolvePath } from "../storage/opfs.js";

/** Everything but the modules. */
export const BROWSER: Omit<Platform, "modules"> = {
  binary: async (url) => url,
  gpu: browserGpu,
  thread() {
    const bundled = () => new Worker(new URL("./thread.js", import.meta.url), { type: "module" });
    return forwardLiveness(startWorker("./thread.js", import.meta.url, bundled));
  },
  tokenizers: async () => tokenizersUrl(),
  merges: async () => readMerges(await fetchPackaged(mergesUrl())),
  cacheFolder: openCacheFolder,
  makeFolder,
  resolvePath,
};

/** Starts the worker that augments images. */
export function imageLoader(): SpawnedWorker {
  const bundled = () => new Worker(new URL("./images.js", import.meta.url), { type: "module" });
  return spawnedWorker(() => startWorker("./images.js", import.meta.url, bundled));
}
