/** Has the software adapter of headless Chromium say that it works 32 lanes at a time, so that the kernels for real GPUs run. */
export function pretendHardware() {
  for (const side of ["subgroupMinSize", "subgroupMaxSize"])
    Object.defineProperty(GPUAdapterInfo.prototype, side, { get: () => 32 });
}
