/** Where a browser finds the core. */

import type { WasmModule } from "./wasm.js";

/** Where the core's modules lie: addresses written out, so that bundlers find them. */
export const WASM_ADDRESSES: Record<WasmModule, URL> = {
  cpu: new URL("./wasm/cpu_bg.wasm", import.meta.url),
  "cpu-relaxed": new URL("./wasm/cpu-relaxed_bg.wasm", import.meta.url),
  "cpu-threads": new URL("./wasm/cpu-threads_bg.wasm", import.meta.url),
  webgpu: new URL("./wasm/webgpu_bg.wasm", import.meta.url),
};
