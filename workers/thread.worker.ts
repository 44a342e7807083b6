/** Entry of one thread of the core: a worker that computes what rayon gives it, in memory that is not its own. */

import { holdLifeLock } from "./life.js";
import { READY } from "./threads.js";
import init, { Threads } from "./wasm/cpu-threads.js";

const held = holdLifeLock((name) => self.postMessage(name));

self.addEventListener(
  "message",
  async ({ data: { module, memory } }: MessageEvent<{ module: WebAssembly.Module; memory: WebAssembly.Memory }>) => {
    await Promise.all([held, init({ module_or_path: module, memory })]);
    self.postMessage(READY);
    try {
      Threads.run();
    } finally {
      // it returns only where it fails, and whoever waits for it would wait for ever: the lock tells the page
      self.close();
    }
  },
  { once: true },
);
