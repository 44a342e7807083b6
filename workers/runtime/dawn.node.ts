/** Dawn (the optional package `webgpu`) as the WebGPU of this worker. The other threads of the process keep their globals. */

import { noWebGpu } from "./gpu.js";

type Dawn = Pick<typeof import("webgpu"), "create" | "globals">;

/** Methods that return a promise, by their class. */
const ASYNC: Record<string, string[]> = {
  GPU: ["requestAdapter"],
  GPUAdapter: ["requestDevice"],
  GPUBuffer: ["mapAsync"],
  GPUDevice: ["createComputePipelineAsync", "createRenderPipelineAsync", "popErrorScope"],
  GPUQueue: ["onSubmittedWorkDone"],
  GPUShaderModule: ["getCompilationInfo"],
};

let pending = 0;
let whenSettled: (() => void) | undefined;

/** Counts the pending promises of a method. Once the worker is to leave, the method is not called any more. */
function count(prototype: Record<string, (...args: unknown[]) => Promise<unknown>>, method: string): void {
  const native = prototype[method];
  if (!native) return;
  const settled = () => {
    pending--;
    if (pending === 0) whenSettled?.();
  };
  prototype[method] = function (...args) {
    if (whenSettled) return new Promise(() => {});
    const promise = native.apply(this, args);
    pending++;
    // before the caller's own callbacks, which may call the next method
    promise.then(settled, settled);
    return promise;
  };
}

/** Calls `then` when no promise of Dawn is pending; until then, and afterwards, none is made. */
export function settleDawn(then: () => void): void {
  whenSettled = then;
  if (pending === 0) then();
}

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

/**
 * Makes Dawn this worker's `navigator.gpu`.
 *
 * @param beforeUse is called after the package was found, and before anything of it is used
 * @throws ClipError `device-unavailable`
 */
export async function openDawn(beforeUse: () => Promise<void>): Promise<GPU> {
  const { create, globals } = await importDawn();
  await beforeUse();
  const classes = globals as Record<string, { prototype: Parameters<typeof count>[0] }>;
  for (const [name, methods] of Object.entries(ASYNC))
    for (const method of methods) if (classes[name]) count(classes[name].prototype, method);
  Object.assign(globalThis, globals);
  const gpu = create([]);
  // Node 20 has no navigator
  const navigator = globalThis.navigator ?? {};
  Object.defineProperty(navigator, "gpu", { value: gpu, configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true });
  return gpu;
}
