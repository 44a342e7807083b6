/**
 * The device that `auto` takes to "encode" or "train" (this worker's name), below the API, where the GPU does not call itself software.
 * Headless Chromium's software adapter hides that it is one; adapter, device and self-test are real.
 */

import { openDevice } from "../../dist/workers/runtime/device.js";
import { browserGpu } from "../../dist/workers/runtime/gpu.js";
import { loadWasm } from "../../dist/workers/runtime/wasm.js";
import { WASM_URLS } from "../../dist/workers/runtime/wasm-urls.js";

Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
const load = (kind: "cpu" | "webgpu") =>
  loadWasm(self.name as "encode" | "train", kind, { wasm: async (module) => WASM_URLS[module] });
const { core, info } = await openDevice("auto", load, { gpu: browserGpu });
const cpu = await core.wasm.Device.cpu()
  .selfTest()
  .then(
    () => "agrees",
    (error: Error) => error.message,
  );
postMessage({ info, cpu });
