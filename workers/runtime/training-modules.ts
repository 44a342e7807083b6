/** The modules that train, and encode, too. */

import * as cpu from "../wasm/train-cpu.js";
import * as relaxed from "../wasm/train-cpu-relaxed.js";
import * as threads from "../wasm/train-cpu-threads.js";
import * as plainThreads from "../wasm/train-cpu-threads-plain.js";
import * as webgpu from "../wasm/train-webgpu.js";
import type { WasmModules } from "./wasm.js";

export const TRAINING_MODULES: WasmModules<"train"> = {
  work: "train",
  cpu: { glue: cpu, url: () => new URL("../wasm/train-cpu_bg.wasm", import.meta.url) },
  "cpu-relaxed": { glue: relaxed, url: () => new URL("../wasm/train-cpu-relaxed_bg.wasm", import.meta.url) },
  "cpu-threads": { glue: threads, url: () => new URL("../wasm/train-cpu-threads_bg.wasm", import.meta.url) },
  "cpu-threads-plain": {
    glue: plainThreads,
    url: () => new URL("../wasm/train-cpu-threads-plain_bg.wasm", import.meta.url),
  },
  webgpu: { glue: webgpu, url: () => new URL("../wasm/train-webgpu_bg.wasm", import.meta.url) },
};
