/**
 * The pending promises of WebGPU. Where a thread ends while one is pending, Dawn aborts the process and Deno's WebGPU may crash it: so
 * the worker ends when there is none (`protocol/worker-end.node.ts`).
 */

/** Methods that return a promise, by their class. */
const METHODS = {
  GPU: ["requestAdapter"],
  GPUAdapter: ["requestDevice"],
  GPUBuffer: ["mapAsync"],
  GPUDevice: ["createComputePipelineAsync", "createRenderPipelineAsync", "popErrorScope"],
  GPUQueue: ["onSubmittedWorkDone"],
  GPUShaderModule: ["getCompilationInfo"],
};

type Method = (...args: unknown[]) => Promise<unknown>;
type Classes = Record<string, { prototype: Record<string, Method | undefined> } | undefined>;

let counting = false;
let pending = 0;
let whenSettled: (() => void) | undefined;

function settled(): void {
  pending--;
  if (pending === 0) whenSettled?.();
}

function counted(method: Method): Method {
  return function (this: unknown, ...args) {
    if (whenSettled) return new Promise(() => {});
    const promise = method.apply(this, args);
    pending++;
    // comes before the caller's own callbacks, which may call the next method
    promise.then(settled, settled);
    return promise;
  };
}

/** Counts the promises of this worker's WebGPU from now on. */
export function countGpuPromises(): void {
  if (counting) return;
  counting = true;
  for (const [name, methods] of Object.entries(METHODS)) {
    const prototype = (globalThis as unknown as Classes)[name]?.prototype;
    for (const method of methods) {
      const native = prototype?.[method];
      if (prototype && native) prototype[method] = counted(native);
    }
  }
}

/** Calls `then` when no promise is pending. From now on no method begins another one. */
export function settleGpuPromises(then: () => void): void {
  whenSettled = then;
  if (pending === 0) then();
}
