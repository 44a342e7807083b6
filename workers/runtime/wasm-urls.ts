/** URLs of the core's modules, written out so that bundlers find them. */

import type { WasmModule } from "./wasm.js";

/** URL of each module. */
export const WASM_URLS: Record<WasmModule, URL> = {
  "encode-cpu": new URL("../wasm/encode-cpu_bg.wasm", import.meta.url),
  "encode-cpu-relaxed": new URL("../wasm/encode-cpu-relaxed_bg.wasm", import.meta.url),
  "encode-cpu-threads": new URL("../wasm/encode-cpu-threads_bg.wasm", import.meta.url),
  "encode-webgpu": new URL("../wasm/encode-webgpu_bg.wasm", import.meta.url),
  "train-cpu": new URL("../wasm/train-cpu_bg.wasm", import.meta.url),
  "train-cpu-relaxed": new URL("../wasm/train-cpu-relaxed_bg.wasm", import.meta.url),
  "train-cpu-threads": new URL("../wasm/train-cpu-threads_bg.wasm", import.meta.url),
  "train-webgpu": new URL("../wasm/train-webgpu_bg.wasm", import.meta.url),
};
