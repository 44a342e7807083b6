/** Tokenizers that are not CLIP's own byte-pair encoding (SentencePiece, Gemma), by Hugging Face's library. */

import { ClipError } from "./error.js";
import type { FileTokenizer } from "./wasm/tokenizers.js";
import { instantiate, type WasmSource } from "./wasm.js";

/** Whether a `tokenizer.json` is CLIP's, which the core reads itself. What is no JSON is the core's to refuse. */
export function isClipTokenizer(json: string): boolean {
  try {
    const { model } = JSON.parse(json) ?? {};
    return typeof model !== "object" || model === null || model.end_of_word_suffix === "</w>";
  } catch {
    return true;
  }
}

/** Even a panic is the file's fault here: the library has a module of its own, and the core goes on. */
function invalid(error: unknown): ClipError {
  const panicked = error instanceof WebAssembly.RuntimeError;
  const message = panicked
    ? "expected a file that fits together, got one that the library stops at"
    : (error as Error).message;
  return new ClipError("invalid-tokenizer", `invalid tokenizer: tokenizer.json: ${message}`, { cause: error });
}

/** Ids of texts, at the model's length. */
export class ForeignTokenizer {
  readonly #tokenizer: FileTokenizer;
  readonly #padId: number;

  private constructor(tokenizer: FileTokenizer, padId: number) {
    this.#tokenizer = tokenizer;
    this.#padId = padId;
  }

  /** Reads `tokenizer.json` and `tokenizer_config.json`; `module` gives the library. */
  static async open(
    json: string,
    configJson: string | undefined,
    module: () => Promise<WasmSource>,
  ): Promise<ForeignTokenizer> {
    // most models do without: the library is only fetched for those that need it
    const { default: init, FileTokenizer } = await import("./wasm/tokenizers.js");
    await instantiate("tokenizers", await module(), init);
    try {
      const file = JSON.parse(json);
      const config = configJson === undefined ? {} : JSON.parse(configJson);
      const tokenizer = new FileTokenizer(json);
      // some of what does not fit together is only found in use
      tokenizer.encode("");
      const named = config.pad_token?.content ?? config.pad_token;
      const padId = file.padding?.pad_id ?? (typeof named === "string" ? tokenizer.tokenToId(named) : undefined);
      if (!Number.isInteger(padId)) throw new Error("expected a pad_token of the vocabulary, got none");
      return new ForeignTokenizer(tokenizer, padId);
    } catch (error) {
      throw invalid(error);
    }
  }

  #encode(text: string): Uint32Array {
    try {
      return this.#tokenizer.encode(text);
    } catch (error) {
      throw invalid(error);
    }
  }

  /** `[texts, contextLength]`, row by row. A text that is cut keeps its last token, which ends it. */
  tokenize(texts: readonly string[], contextLength: number, truncate: boolean): Int32Array {
    const out = new Int32Array(texts.length * contextLength).fill(this.#padId);
    texts.forEach((text, row) => {
      const ids = this.#encode(text);
      if (ids.length > contextLength && !truncate) {
        throw new ClipError(
          "caption-too-long",
          `caption too long: expected at most ${contextLength} tokens with start and end, got ${ids.length}: ${JSON.stringify(text.slice(0, 80))}`,
        );
      }
      out.set(ids.subarray(0, contextLength), row * contextLength);
      if (ids.length > contextLength) out[(row + 1) * contextLength - 1] = ids.at(-1) as number;
    });
    return out;
  }
}
