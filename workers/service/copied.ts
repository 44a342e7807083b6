import type { OwnBytes } from "../protocol/bytes.js";

/** Types bytes that wasm-bindgen has copied out of the module's memory; its own types do not say so. */
export const copied = (bytes: Uint8Array): OwnBytes => bytes as OwnBytes;
