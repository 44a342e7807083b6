/** The worker of the library itself, which tells on a channel of its name how many pipelines it has had made. */

let made = 0;
const channel = new BroadcastChannel(self.name);
channel.onmessage = () => channel.postMessage(made);
for (const method of ["createComputePipeline", "createComputePipelineAsync"] as const) {
  const create = GPUDevice.prototype[method] as (descriptor: GPUComputePipelineDescriptor) => never;
  GPUDevice.prototype[method] = function (this: GPUDevice, descriptor: GPUComputePipelineDescriptor) {
    made++;
    return create.call(this, descriptor);
  };
}
await import("../../dist/workers/clip.worker.js");

export {};
