/** Compares the GPU's kernels with the CPU, below the API: those for "software" or for "hardware", by its name. */

import { openDevice } from "../../workers/runtime/device.js";
import { browserGpu } from "../../workers/runtime/gpu.js";
import { TRAINING_MODULES } from "../../workers/runtime/training-modules.js";
import { loadWasm } from "../../workers/runtime/wasm.js";
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
const load = (kind: "cpu" | "webgpu") => loadWasm(kind, { modules: TRAINING_MODULES, binary: async (url) => url });
const { core, device } = await openDevice("webgpu", load, { gpu: browserGpu });
postMessage({ kernels: await conformance(core.wasm, device), waits });
