import type { LoadingPlatform } from "../loading/platform.js";
import type { SpawnedWorker } from "../protocol/spawned-worker.js";
import type { GpuPlatform } from "../runtime/gpu.js";
import type { RuntimePlatform } from "../runtime/wasm.js";
import type { StoragePlatform } from "../storage/folder.js";

/** What the service needs from the platform, a browser or Node: the sum of what the rooms need, and a worker. */
export interface Platform extends RuntimePlatform, GpuPlatform, StoragePlatform, LoadingPlatform {
  /** Starts a worker that runs `entries/loader.ts`. */
  imageLoader(): SpawnedWorker;
}
