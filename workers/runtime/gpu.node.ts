/** WebGPU in Deno, which has its own, and in Node and Bun, which take Dawn. */

import type { OwnEnd } from "../protocol/worker-end.node.js";
import { openDawn } from "./dawn.node.js";
import { noWebGpu } from "./gpu.js";
import { countGpuPromises, settleGpuPromises } from "./gpu-promises.node.js";

/** `navigator.gpu`, if this runtime or the app's own set-up of workers has it. */
function ownGpu(): GPU | undefined {
  const { gpu } = (globalThis.navigator ?? {}) as Partial<WorkerNavigator>;
  // before Deno 2.6, devices do not report that they are lost
  if ("Deno" in globalThis && !(gpu && "lost" in GPUDevice.prototype))
    throw noWebGpu("this Deno has none, or an incomplete one", "update Deno");
  return gpu;
}

/**
 * Returns the WebGPU of this worker.
 *
 * @throws ClipError `device-unavailable`
 */
export async function nodeGpu(end: OwnEnd): Promise<GPU> {
  // wgpu looks for `navigator.gpu` only where it sees a window or a worker of the web
  const scope = globalThis as { WorkerGlobalScope?: unknown };
  scope.WorkerGlobalScope ??= class WorkerGlobalScope {};
  const gpu = ownGpu() ?? (await openDawn());
  await end.holdGpu(settleGpuPromises);
  countGpuPromises();
  return gpu;
}
