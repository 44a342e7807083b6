/** WebGPU in Deno, which has its own, and in Node and Bun, which take Dawn. */

import type { OwnEnd } from "../protocol/worker-end.node.js";
import { openDawn, settleDawn } from "./dawn.node.js";
import { noWebGpu } from "./gpu.js";

/**
 * Returns the WebGPU of this worker.
 *
 * @throws ClipError `device-unavailable`
 */
export async function nodeGpu(end: OwnEnd): Promise<GPU> {
  // wgpu looks for `navigator.gpu` only where it sees a window or a worker of the web
  const scope = globalThis as { WorkerGlobalScope?: unknown };
  scope.WorkerGlobalScope ??= class WorkerGlobalScope {};
  const { gpu } = (globalThis.navigator ?? {}) as Partial<WorkerNavigator>;
  if (gpu) return gpu;
  if ("Deno" in globalThis) throw noWebGpu("this Deno has no navigator.gpu", "run it with --unstable-webgpu");
  return openDawn(() => end.holdGpu(settleDawn));
}
