/** Tokenizers that are not CLIP's own byte-pair encoding (SentencePiece, Gemma), by Hugging Face's library. */

import type { Tokenizer } from "@huggingface/tokenizers";
import { ClipError } from "./error.js";

/** Whether a `tokenizer.json` is CLIP's, which the core reads itself. What is no JSON is the core's to refuse. */
export function isClipTokenizer(json: string): boolean {
  try {
    const { model } = JSON.parse(json) ?? {};
    return typeof model !== "object" || model === null || model.end_of_word_suffix === "</w>";
  } catch {
    return true;
  }
}

/** Ids of texts, at the model's length. */
export class ForeignTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #padId: number;
  readonly #lowercases: boolean;

  private constructor(tokenizer: Tokenizer, padId: number, lowercases: boolean) {
    this.#tokenizer = tokenizer;
    this.#padId = padId;
    this.#lowercases = lowercases;
  }

  /** Reads `tokenizer.json` and `tokenizer_config.json`. */
  static async open(json: string, configJson: string | undefined): Promise<ForeignTokenizer> {
    // most models do without: the library is only fetched for those that need it
    const { Tokenizer } = await import("@huggingface/tokenizers");
    try {
      const file = JSON.parse(json);
      const config = configJson === undefined ? {} : JSON.parse(configJson);
      const tokenizer = new Tokenizer(file, config);
      const named = config.pad_token?.content ?? config.pad_token;
      const padId = file.padding?.pad_id ?? (typeof named === "string" ? tokenizer.token_to_id(named) : undefined);
      if (!Number.isInteger(padId)) throw new Error("expected a pad_token of the vocabulary, got none");
      return new ForeignTokenizer(tokenizer, padId, JSON.stringify(file.normalizer ?? {}).includes('"Lowercase"'));
    } catch (error) {
      throw new ClipError("invalid-tokenizer", `invalid tokenizer: tokenizer.json: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }

  /** `[texts, contextLength]`, row by row. A text that is cut keeps its last token, which ends it. */
  tokenize(texts: readonly string[], contextLength: number, truncate: boolean): Int32Array {
    const out = new Int32Array(texts.length * contextLength).fill(this.#padId);
    texts.forEach((text, row) => {
      // letter by letter, as Rust's library does: JavaScript knows a sigma at the end of a word
      const ready = this.#lowercases ? Array.from(text, (letter) => letter.toLowerCase()).join("") : text;
      let { ids } = this.#tokenizer.encode(ready);
      if (ids.length > contextLength) {
        if (!truncate) {
          throw new ClipError(
            "caption-too-long",
            `caption too long: expected at most ${contextLength} tokens with start and end, got ${ids.length}: ${JSON.stringify(text.slice(0, 80))}`,
          );
        }
        ids = [...ids.slice(0, contextLength - 1), ids.at(-1) as number];
      }
      out.set(ids, row * contextLength);
    });
    return out;
  }
}
