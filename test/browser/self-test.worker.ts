/** Runs the core's self-test on both devices, below the API, which only runs it for a GPU that is none of software. */

import { loadWasm } from "../../dist/workers/wasm.js";

const { wasm } = await loadWasm(new URL("../../dist/workers/wasm/clip_wasm_bg.wasm", import.meta.url));
const verdict = (device: { selfTest(): Promise<void> }) =>
  device.selfTest().then(
    () => "agrees",
    (error: Error) => error.message,
  );
postMessage({ cpu: await verdict(wasm.Device.cpu()), webgpu: await verdict(await wasm.Device.webgpu()) });
