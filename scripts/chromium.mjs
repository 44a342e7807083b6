/**
 * Flags of headless Chromium for tests and benchmarks: WebGPU on its bundled software rasteriser, and no calls to the
 * outside.
 */
export const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu",
];
