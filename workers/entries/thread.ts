/** Entry of one thread of the core: a worker that computes what rayon gives it, in memory that is not its own. */

import { holdLivenessLock } from "../protocol/liveness.js";
import { READY, type ThreadStart } from "../runtime/threads.js";
import { THREADED_GLUE } from "../runtime/wasm.js";

const held = holdLivenessLock((name) => self.postMessage(name));

self.addEventListener(
  "message",
  async ({ data: { work, module, memory } }: MessageEvent<ThreadStart>) => {
    const { default: init, Threads } = await THREADED_GLUE[work]();
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
