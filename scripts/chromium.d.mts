/** Flags of a headless Chromium with WebGPU. */
export const CHROMIUM_FLAGS: string[];
/** Headers with which a page may share memory between threads. */
export const ISOLATION_HEADERS: Record<string, string>;
