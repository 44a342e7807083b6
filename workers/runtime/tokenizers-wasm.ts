/** The module of tokenizers-wasm: Hugging Face's tokenizers. */

import { instantiate, type WasmBinary } from "./wasm.js";

export type { FileTokenizer } from "../wasm/tokenizers.js";

type TokenizersWasm = Omit<typeof import("../wasm/tokenizers.js"), "default" | "initSync">;

/** Instantiates the module; the glue is fetched here, because most models do without it. */
export async function loadTokenizersWasm(binary: WasmBinary): Promise<TokenizersWasm> {
  const { default: init, ...wasm } = await import("../wasm/tokenizers.js");
  await instantiate("tokenizers", binary, init);
  return wasm;
}
