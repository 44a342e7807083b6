/**
 * The device that `auto` takes to "encode" or "train" (this worker's name), below the API, where the GPU does not call itself software.
 * Headless Chromium's software adapter hides that it is one; adapter, device and self-test are real.
 */

import type { Work } from "../../workers/protocol/load.js";
import { openDevice } from "../../workers/runtime/device.js";
import { ENCODING_MODULES } from "../../workers/runtime/encoding-modules.js";
import { browserGpu } from "../../workers/runtime/gpu.js";
import { TRAINING_MODULES } from "../../workers/runtime/training-modules.js";
import { loadWasm } from "../../workers/runtime/wasm.js";

const pretended = { isFallbackAdapter: false, description: "a real GPU", device: "", architecture: "" };
for (const [name, value] of Object.entries(pretended))
  Object.defineProperty(GPUAdapterInfo.prototype, name, { get: () => value });
const modules = self.name === "train" ? TRAINING_MODULES : ENCODING_MODULES;
const load = (kind: "cpu" | "webgpu") => loadWasm<Work>(kind, { modules, binary: async (url) => url });
const { core, info } = await openDevice("auto", load, { gpu: browserGpu });
const cpu = await core.wasm.Device.cpu()
  .selfTest()
  .then(
    () => "agrees",
    (error: Error) => error.message,
  );
postMessage({ info, cpu });
