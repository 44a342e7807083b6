/** The module of index-wasm: embeddings in memory, and exact search among them. */

import * as glue from "../wasm/index.js";
import { packagedUrl } from "./packaged-file.js";
import { instantiate, type WasmBinary } from "./wasm.js";

export type { Storage, VectorCodec, Vectors } from "../wasm/index.js";

/** Classes of the module. */
export type IndexWasm = Pick<typeof glue, "Clusters" | "Duplicates" | "VectorCodec" | "Vectors">;

/** URL of the module. */
export const indexUrl = () =>
  packagedUrl("wasmUrl", "index_bg.wasm", () => new URL("../wasm/index_bg.wasm", import.meta.url));

/** Instantiates the module; returns its classes, and its memory. */
export async function loadIndexWasm(binary: WasmBinary): Promise<{ wasm: IndexWasm; memory: WebAssembly.Memory }> {
  const { memory } = await instantiate("index", binary, glue.default);
  return { wasm: glue, memory };
}
