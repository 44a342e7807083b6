/** Flags of a headless Chromium with WebGPU. */
export const CHROMIUM_FLAGS: string[];
