/** WebGPU in Node and Bun, which take it from Dawn (the optional package `webgpu`), and in Deno, which has its own. */

import { noWebGpu } from "./gpu.js";

type Dawn = Pick<typeof import("webgpu"), "create" | "globals">;

async function importDawn(): Promise<Dawn> {
  try {
    // the comment keeps webpack from asking for a package that need not be there
    return await import(/* webpackIgnore: true */ "webgpu");
  } catch (error) {
    const { code = "", message } = error as NodeJS.ErrnoException;
    if (code.endsWith("MODULE_NOT_FOUND") && /["']webgpu["']/.test(message))
      throw noWebGpu('the optional package "webgpu" is not installed', "run npm install webgpu", error);
    throw noWebGpu(`the package "webgpu" does not load (${message})`, "install it for this platform", error);
  }
}

/** Makes Dawn the WebGPU of this worker; other threads of the process keep their globals. */
async function openDawn(): Promise<GPU> {
  const { create, globals } = await importDawn();
  const gpu = create([]);
  Object.assign(globalThis, globals);
  // Node 20 has no navigator
  const navigator = globalThis.navigator ?? {};
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  return gpu;
}

/**
 * Returns the WebGPU of this worker, after Dawn became it where the runtime has none.
 *
 * @throws ClipError `device-unavailable`
 */
export async function nodeGpu(): Promise<GPU> {
  // wgpu looks for `navigator.gpu` only where it sees a window or a worker of the web
  const scope = globalThis as { WorkerGlobalScope?: unknown };
  scope.WorkerGlobalScope ??= class WorkerGlobalScope {};
  const { gpu } = (globalThis.navigator ?? {}) as Partial<WorkerNavigator>;
  if (gpu) return gpu;
  if ("Deno" in globalThis) throw noWebGpu("this Deno has no navigator.gpu", "run it with --unstable-webgpu");
  return openDawn();
}
