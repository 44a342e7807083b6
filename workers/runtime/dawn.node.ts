/** Dawn (the optional package `webgpu`) as the WebGPU of this worker. The other threads of the process keep their globals. */

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

/** Dawn's options, such as `adapter=NVIDIA` or `enable-dawn-features=allow_unsafe_apis,dump_shaders`. */
const options = (): string[] => (process.env.CLIPWRIGHT_DAWN ?? "").split(";").filter(Boolean);

/**
 * Makes Dawn this worker's `navigator.gpu`.
 *
 * @throws ClipError `device-unavailable`
 */
export async function openDawn(): Promise<GPU> {
  const { create, globals } = await importDawn();
  Object.assign(globalThis, globals);
  const gpu = create(options());
  // Node 20 has no navigator
  const navigator = globalThis.navigator ?? {};
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  return gpu;
}
