/** Entry of one thread of the core: a worker that computes what rayon gives it, in memory that is not its own. */

import init, { Threads } from "./wasm/cpu-threads.js";

self.addEventListener(
  "message",
  async ({ data: { module, memory } }: MessageEvent<{ module: WebAssembly.Module; memory: WebAssembly.Memory }>) => {
    await init({ module_or_path: module, memory });
    self.postMessage("ready");
    Threads.run();
  },
  { once: true },
);
