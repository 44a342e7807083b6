/**
 * What `auto` takes where the GPU is none of software, below the API. The software one of headless Chromium only stops
 * saying that it is one: adapter, device and self-test are real.
 */

import { openDevice } from "../../dist/workers/device.js";
import { loadWasm } from "../../dist/workers/wasm.js";

Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });
const { wasm } = await loadWasm(new URL("../../dist/workers/wasm/clip_wasm_bg.wasm", import.meta.url));
const { info } = await openDevice("auto", wasm);
const cpu = await wasm.Device.cpu()
  .selfTest()
  .then(
    () => "agrees",
    (error: Error) => error.message,
  );
postMessage({ info, cpu });
