/** One thread of the core: a worker that runs rayon's jobs in the memory of the model's worker. */

import { holdLivenessLock } from "../protocol/liveness.js";
import { THREADED_GLUE } from "../runtime/threaded-glue.js";
import { READY, STARTED, type ThreadStart } from "../runtime/threads.js";

const locked = holdLivenessLock((name) => self.postMessage(name));

self.addEventListener(
  "message",
  async ({ data: { name, module, memory } }: MessageEvent<ThreadStart>) => {
    const { default: init, Threads } = THREADED_GLUE[name];
    await Promise.all([locked, init({ module_or_path: module, memory })]);
    self.postMessage(READY);
    try {
      Threads.run();
    } finally {
      // `run` only returns if it fails; then the others would wait for this thread forever: freeing the lock tells the page
      self.close();
    }
  },
  { once: true },
);
self.postMessage(STARTED);
