/** The only import of the core's generated glue. */

import init, * as glue from "./wasm/clip_wasm.js";

export type {
  Augmenter,
  ClipModel,
  Device,
  FitSettings,
  Headers,
  Opening,
  Pairs,
  Trainer,
  Wanted,
} from "./wasm/clip_wasm.js";

/** clip-wasm, instantiated. */
export type Wasm = typeof glue;

/** Bytes or address of the module. */
export type WasmSource = BufferSource | URL;

let instance: Promise<{ wasm: Wasm; memory: WebAssembly.Memory }> | undefined;

/** Instantiates the module, once per worker. */
export function loadWasm(source: WasmSource): Promise<{ wasm: Wasm; memory: WebAssembly.Memory }> {
  instance ??= init({ module_or_path: source }).then((exports) => ({ wasm: glue, memory: exports.memory }));
  return instance;
}
