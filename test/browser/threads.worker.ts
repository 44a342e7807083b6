/**
 * Compares the CPU's kernels with plain operations, below the API: on threads, where starting them is "forbidden", on a "single"
 * thread, and where a thread is "lost".
 */

import { forwardLiveness } from "../../dist/workers/protocol/liveness.js";
import { openDevice } from "../../dist/workers/runtime/device.js";
import { browserGpu } from "../../dist/workers/runtime/gpu.js";
import { loadWasm } from "../../dist/workers/runtime/wasm.js";
import { WASM_URLS } from "../../dist/workers/runtime/wasm-urls.js";
import { conformance } from "./conformance";

const thread = () => new Worker(new URL("../../dist/workers/entries/thread.js", import.meta.url), { type: "module" });
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
const assets = { wasm: async (module: keyof typeof WASM_URLS) => WASM_URLS[module] };
const { core, device, info } = await openDevice(
  "cpu",
  (kind) => loadWasm("train", kind, { ...assets, ...(start && { thread: start }) }),
  { gpu: browserGpu },
);
threads[0]?.terminate();
postMessage({ threads: info.threads, kernels: await conformance(core.wasm, device) });
