/** The modules that encode. A worker imports these or `training-modules.ts`: bundlers deploy what a worker names. */

import * as cpu from "../wasm/encode-cpu.js";
import * as relaxed from "../wasm/encode-cpu-relaxed.js";
import * as threads from "../wasm/encode-cpu-threads.js";
import * as plainThreads from "../wasm/encode-cpu-threads-plain.js";
import * as webgpu from "../wasm/encode-webgpu.js";
import type { WasmModules } from "./wasm.js";

// addresses are literals, which bundlers and tracers of files find, and are made when used: a worker may lie where none can be made
export const ENCODING_MODULES: WasmModules<"encode"> = {
  work: "encode",
  cpu: { glue: cpu, url: () => new URL("../wasm/encode-cpu_bg.wasm", import.meta.url) },
  "cpu-relaxed": { glue: relaxed, url: () => new URL("../wasm/encode-cpu-relaxed_bg.wasm", import.meta.url) },
  "cpu-threads": { glue: threads, url: () => new URL("../wasm/encode-cpu-threads_bg.wasm", import.meta.url) },
  "cpu-threads-plain": {
    glue: plainThreads,
    url: () => new URL("../wasm/encode-cpu-threads-plain_bg.wasm", import.meta.url),
  },
  webgpu: { glue: webgpu, url: () => new URL("../wasm/encode-webgpu_bg.wasm", import.meta.url) },
};
