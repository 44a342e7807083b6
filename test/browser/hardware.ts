/** Makes headless Chromium's software adapter report subgroups of 32 lanes, so that the kernels for real GPUs run. */
export function pretendHardware() {
  for (const side of ["subgroupMinSize", "subgroupMaxSize"])
    Object.defineProperty(GPUAdapterInfo.prototype, side, { get: () => 32 });
}
