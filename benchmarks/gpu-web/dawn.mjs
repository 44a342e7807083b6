/**
 * Makes Dawn, Chromium's WebGPU, the `navigator.gpu` of this thread, as onnxruntime-web needs it; clipwright's workers do so by
 * themselves. `GPU_PROFILE=1` counts and times dispatches (profile.mjs), for which the workers need this file, too:
 * `NODE_OPTIONS="--import …/dawn.mjs"`.
 */

import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const gpu = create([]);
Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });

// dawn.node takes no views of shared memory, and onnxruntime-web's is shared
const { writeBuffer } = GPUQueue.prototype;
GPUQueue.prototype.writeBuffer = function (buffer, offset, data, ...range) {
  const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
  return writeBuffer.call(this, buffer, offset, shared ? data.slice() : data, ...range);
};

if (process.env.GPU_PROFILE) (await import("./profile.mjs")).profile();
