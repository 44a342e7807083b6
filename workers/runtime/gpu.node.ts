/** WebGPU in Deno, which has its own, and in Node and Bun, which take Dawn. */

import type { OwnEnd } from "../protocol/worker-end.node.js";
import { openDawn } from "./dawn.node.js";
import { noWebGpu } from "./gpu.js";
import { countGpuPromises, settleGpuPromises } from "./gpu-promises.node.js";

/** What is used of Deno's own interface. */
interface DenoRuntime {
  env: { get(name: string): string | undefined; set(name: string, value: string): void; delete(name: string): void };
  permissions: { querySync(permission: { name: "env"; variable: string }): { state: string } };
}

/** Deno reads it when a thread first asks for an adapter. */
const BACKENDS = "DENO_WEBGPU_BACKEND";

/**
 * Makes Deno open this thread's WebGPU without OpenGL, which cannot compute: Mesa's leaves an exit handler behind when the thread ends, and
 * then one process in ten crashes at its exit (Deno 2.9). Needs the permission to set the variable, and leaves it as it was.
 */
async function openWithoutOpenGl(gpu: GPU, { env, permissions }: DenoRuntime): Promise<void> {
  if (permissions.querySync({ name: "env", variable: BACKENDS }).state !== "granted") return;
  if (env.get(BACKENDS) !== undefined) return;
  env.set(BACKENDS, "vulkan,metal,dx12");
  try {
    await gpu.requestAdapter();
  } finally {
    env.delete(BACKENDS);
  }
}

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
  const { Deno: deno } = globalThis as { Deno?: DenoRuntime };
  if (deno) await openWithoutOpenGl(gpu, deno);
  await end.holdGpu(settleGpuPromises);
  countGpuPromises();
  return gpu;
}
