/** Holds the GPU's kernels against the CPU, below the API; as its name says, those for "software" or for "hardware". */

import { openDevice } from "../../dist/workers/runtime/device.js";
import { loadWasm } from "../../dist/workers/runtime/wasm.js";
import { WASM_URLS } from "../../dist/workers/runtime/wasm-urls.js";
import { conformance } from "./conformance";
import { pretendHardware } from "./hardware";

if (self.name === "hardware") pretendHardware();
// which of the two kinds it was, the shaders tell: on hardware invocations wait for each other
let waits = false;
const create = GPUDevice.prototype.createShaderModule;
GPUDevice.prototype.createShaderModule = function (descriptor) {
  waits ||= descriptor.code.includes("row_sum") && descriptor.code.includes("workgroupBarrier");
  return create.call(this, descriptor);
};
const load = (kind: "cpu" | "webgpu") => loadWasm("train", kind, { wasm: async (module) => WASM_URLS[module] });
const { core, device } = await openDevice("webgpu", load);
postMessage({ kernels: await conformance(core.wasm, device), waits });
