/** WebGPU in a browser. */

import { ClipError } from "../protocol/error.js";

/** What opening a GPU needs from the platform, a browser or Node. */
export interface GpuPlatform {
  /**
   * Returns WebGPU, which is then `navigator.gpu`: the modules look for it there.
   *
   * @throws ClipError `device-unavailable`: why there is none, and how to get it
   */
  gpu(): Promise<GPU>;
}

/** The error where there is no WebGPU. */
export function noWebGpu(reason: string, advice: string, cause?: unknown): ClipError {
  const message = `no WebGPU: ${reason}; ${advice}`;
  return new ClipError("device-unavailable", message, cause === undefined ? undefined : { cause });
}

/** Returns the browser's WebGPU. */
export async function browserGpu(): Promise<GPU> {
  const { gpu } = globalThis.navigator as Partial<WorkerNavigator>;
  if (gpu) return gpu;
  if (globalThis.isSecureContext) throw noWebGpu("this browser has no navigator.gpu", "update it, or enable WebGPU");
  throw noWebGpu("the page is not in a secure context", "serve it from https: or localhost");
}
