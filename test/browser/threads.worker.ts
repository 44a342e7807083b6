/**
 * Compares the CPU's kernels with plain operations, below the API: on threads, where starting them is "forbidden", on a "single"
 * thread, and where a thread is "lost".
 */

import { forwardLiveness } from "../../workers/protocol/liveness.js";
import { openDevice } from "../../workers/runtime/device.js";
import { browserGpu } from "../../workers/runtime/gpu.js";
import { TRAINING_MODULES } from "../../workers/runtime/training-modules.js";
import { loadWasm } from "../../workers/runtime/wasm.js";
import { conformance } from "./conformance";

const thread = () => new Worker(new URL("../../dist/workers/thread.js", import.meta.url), { type: "module" });
const threads: Worker[] = [];
const start = {
  threads: thread,
  lost: () => {
    const worker = forwardLiveness(thread());
    threads.push(worker);
    return worker;
  },
  forbidden: () => new Worker(new URL("./there-is-none.js", import.meta.url), { type: "module" }),
}[self.name];
const platform = { modules: TRAINING_MODULES, binary: async (url: URL) => url };
const { core, device, info } = await openDevice(
  "cpu",
  (kind) => loadWasm(kind, { ...platform, ...(start && { thread: start }) }),
  { gpu: browserGpu },
);
threads[0]?.terminate();
postMessage({ threads: info.threads, kernels: await conformance(core.wasm, device) });
