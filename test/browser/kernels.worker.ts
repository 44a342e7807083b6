/** Compares the GPU's kernels with the CPU, below the API: those for "software" or for "hardware", by its name. */

import { openDevice } from "../../dist/workers/runtime/device.js";
import { browserGpu } from "../../dist/workers/runtime/gpu.js";
import { loadWasm } from "../../dist/workers/runtime/wasm.js";
import { WASM_URLS } from "../../dist/workers/runtime/wasm-urls.js";
import { conformance } from "./conformance";
import { pretendHardware } from "./hardware";

if (self.name === "hardware") pretendHardware();
// the shaders tell which kind ran: only those for hardware have barriers
let waits = false;
const create = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  waits ||= descriptor.code.includes("row_sum") && descriptor.code.includes("workgroupBarrier");
  return create.call(this, descriptor);
};
const load = (kind: "cpu" | "webgpu") => loadWasm("train", kind, { wasm: async (module) => WASM_URLS[module] });
const { core, device } = await openDevice("webgpu", load, { gpu: browserGpu });
postMessage({ kernels: await conformance(core.wasm, device), waits });
