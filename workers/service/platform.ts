import type { LoadingPlatform } from "../loading/platform.js";
import type { Work } from "../protocol/load.js";
import type { GpuPlatform } from "../runtime/gpu.js";
import type { RuntimePlatform } from "../runtime/wasm.js";
import type { StoragePlatform } from "../storage/folder.js";

/** What the service needs from the platform, a browser or Node: the sum of what the rooms need. */
export interface Platform<W extends Work = Work>
  extends RuntimePlatform<W>,
    GpuPlatform,
    StoragePlatform,
    LoadingPlatform {}
