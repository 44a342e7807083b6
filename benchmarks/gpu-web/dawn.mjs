/**
 * Gives Node the WebGPU of Chromium: Dawn, by npm's `webgpu`. Loaded before anything else and in each worker:
 * `NODE_OPTIONS="--import …/dawn.mjs"`. `DAWN_FLAGS` has Dawn's options, separated by commas; `GPU_PROFILE=1` counts and times
 * dispatches (profile.mjs).
 */

import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const gpu = create((process.env.DAWN_FLAGS ?? "").split(",").filter(Boolean));
Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
// wgpu looks for `navigator` in a window or a worker, and tells them by these classes
globalThis.WorkerGlobalScope ??= {
  [Symbol.hasInstance]() {
    return true;
  },
};

// dawn.node takes no views of shared memory, and onnxruntime-web's is shared
const { writeBuffer } = GPUQueue.prototype;
GPUQueue.prototype.writeBuffer = function (buffer, offset, data, ...range) {
  const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
  return writeBuffer.call(this, buffer, offset, shared ? data.slice() : data, ...range);
};

if (process.env.GPU_PROFILE) (await import("./profile.mjs")).profile();
