/**
 * Holds the CPU's kernels against plain operations, below the API: on threads, where starting them is "forbidden", and on a
 * "single" one.
 */

import { openDevice } from "../../dist/workers/device.js";
import { loadWasm } from "../../dist/workers/wasm.js";
import { WASM_ADDRESSES } from "../../dist/workers/wasm-addresses.js";

const start = {
  threads: () => new Worker(new URL("../../dist/workers/thread.worker.js", import.meta.url), { type: "module" }),
  forbidden: () => new Worker(new URL("./there-is-none.js", import.meta.url), { type: "module" }),
}[self.name];
const assets = { wasm: async (module: keyof typeof WASM_ADDRESSES) => WASM_ADDRESSES[module] };
const { device, info } = await openDevice("cpu", (kind) =>
  loadWasm(kind, { ...assets, ...(start && { thread: start }) }),
);
const kernels = await device.checkKernels().then(
  () => "agree",
  (error: Error) => error.message,
);
postMessage({ threads: info.threads, kernels });
