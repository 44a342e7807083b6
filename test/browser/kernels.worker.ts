/**
 * Holds the GPU's kernels against the CPU, below the API. Named "hardware", it has the software adapter of headless Chromium
 * say that it works 32 lanes at a time, so that the kernels for real GPUs run.
 */

import { openDevice } from "../../dist/workers/device.js";
import { loadWasm } from "../../dist/workers/wasm.js";
import { WASM_ADDRESSES } from "../../dist/workers/wasm-addresses.js";

if (self.name === "hardware")
  for (const side of ["subgroupMinSize", "subgroupMaxSize"])
    Object.defineProperty(GPUAdapterInfo.prototype, side, { get: () => 32 });
// which of the two kinds it was, the shaders tell: on hardware invocations wait for each other
let waits = false;
const create = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  waits ||= descriptor.code.includes("row_sum") && descriptor.code.includes("workgroupBarrier");
  return create.call(this, descriptor);
};
const load = (kind: "cpu" | "webgpu") => loadWasm("train", kind, { wasm: async (module) => WASM_ADDRESSES[module] });
const { core, device } = await openDevice("webgpu", load);
const kernels = await core.wasm.checkKernels(device).then(
  () => "agree",
  (error: Error) => error.message,
);
postMessage({ kernels, waits });
