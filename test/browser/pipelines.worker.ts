/**
 * The library's worker. It reports on a channel of its name how many pipelines it has created, and how many of them are of our own
 * shaders; its name begins with "software" or "hardware".
 */

import { pretendHardware } from "./hardware";

if (self.name.startsWith("hardware")) pretendHardware();
const made = { all: 0, ours: 0 };
const channel = new BroadcastChannel(self.name);
channel.onmessage = () => channel.postMessage(made);
for (const method of ["createComputePipeline", "createComputePipelineAsync"] as const) {
  const create = GPUDevice.prototype[method] as (descriptor: GPUComputePipelineDescriptor) => never;
  GPUDevice.prototype[method] = function (this: GPUDevice, descriptor: GPUComputePipelineDescriptor) {
    made.all++;
    // Burn names its own
    if (descriptor.compute.entryPoint === "main") made.ours++;
    return create.call(this, descriptor);
  };
}
await import("../../dist/workers/train.js");
