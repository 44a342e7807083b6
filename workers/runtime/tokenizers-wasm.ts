/** The module of tokenizers-wasm: Hugging Face's tokenizers. */

import * as glue from "../wasm/tokenizers.js";
import { packagedUrl } from "./packaged-file.js";
import { instantiate, type WasmBinary } from "./wasm.js";

export type { FileTokenizer } from "../wasm/tokenizers.js";

/** URL of the module. */
export const tokenizersUrl = () =>
  packagedUrl("wasmUrl", "tokenizers_bg.wasm", () => new URL("../wasm/tokenizers_bg.wasm", import.meta.url));

/** Instantiates the module, which most models do without. */
export async function loadTokenizersWasm(binary: WasmBinary): Promise<Pick<typeof glue, "FileTokenizer">> {
  await instantiate("tokenizers", binary, glue.default);
  return glue;
}
