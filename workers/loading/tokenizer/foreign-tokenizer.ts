/** Tokenizers other than CLIP's byte-pair encoding (SentencePiece, Gemma), read by crates/clip-tokenizers in a module of its own. */

import type { ExportedFile } from "../../protocol/api.js";
import { ClipError, isPanic } from "../../protocol/error.js";
import { type FileTokenizer, loadTokenizersWasm } from "../../runtime/tokenizers-wasm.js";
import type { WasmBinary } from "../../runtime/wasm.js";

/** The files of a tokenizer, as text. */
interface TokenizerFiles {
  tokenizer: string;
  tokenizerConfig?: string;
  specialTokens?: string;
  addedTokens?: string;
}

/** The tokenizer's options in an OpenCLIP config. */
interface OpenClipOptions {
  /** How texts are cleaned, as the core's `cleanText` takes it. */
  cleaning: string;
  /** JSON: keys that replace those of `tokenizer_config.json`. */
  tokenizerOverrides: string;
}

/** Cleans a text as OpenCLIP does, in the core. */
type CleanText = (text: string, cleaning: string) => string;

/** Calls the library. A panic is an error of the files, since the library has a module of its own and can be called again. */
function contained<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (!isPanic(error)) throw error;
    const message = "the tokenizers library panicked: its parts contradict each other";
    throw new ClipError("invalid-tokenizer", `invalid tokenizer: tokenizer.json: ${message}`, { cause: error });
  }
}

/** Tokenizes texts and pads them to the model's context length. */
export class ForeignTokenizer {
  readonly #tokenizer: FileTokenizer;
  readonly #clean: (text: string) => string;
  /** Its files, as an export has them. */
  readonly files: ExportedFile[];

  private constructor(tokenizer: FileTokenizer, files: TokenizerFiles, cleanText: CleanText) {
    this.#tokenizer = tokenizer;
    const { cleaning, config } = tokenizer;
    this.#clean = (text) => cleanText(text, cleaning);
    const texts = {
      "tokenizer.json": files.tokenizer,
      "tokenizer_config.json": config,
      "special_tokens_map.json": files.specialTokens,
      "added_tokens.json": files.addedTokens,
    };
    this.files = Object.entries(texts).flatMap(([name, text]) =>
      text === undefined ? [] : [{ name, data: new TextEncoder().encode(text) }],
    );
  }

  /**
   * Reads a tokenizer's files; `binary` returns the library's module, `cleanText` is the core's.
   *
   * @throws ClipError `invalid-tokenizer`
   */
  static async open(
    files: TokenizerFiles,
    options: OpenClipOptions,
    cleanText: CleanText,
    binary: () => Promise<WasmBinary>,
  ): Promise<ForeignTokenizer> {
    const { FileTokenizer } = await loadTokenizersWasm(await binary());
    const { tokenizer, tokenizerConfig, specialTokens, addedTokens } = files;
    const { cleaning, tokenizerOverrides } = options;
    return contained(() => {
      const read = new FileTokenizer(
        tokenizer,
        tokenizerConfig,
        specialTokens,
        addedTokens,
        cleaning,
        tokenizerOverrides,
      );
      return new ForeignTokenizer(read, files, cleanText);
    });
  }

  /** Warnings for the user, for a model of this context length. */
  warningsFor(contextLength: number): string[] {
    return this.#tokenizer.warnings(contextLength);
  }

  /**
   * Returns token ids, `[texts, contextLength]` in row-major order. A truncated text keeps its special tokens.
   *
   * @throws ClipError `caption-too-long` unless `truncate` is set
   */
  tokenize(texts: readonly string[], contextLength: number, truncate: boolean): Int32Array {
    const out = new Int32Array(texts.length * contextLength);
    texts.forEach((text, row) => {
      const clean = this.#clean(text);
      const ids = contained(() => this.#tokenizer.tokenize(text, clean, contextLength, truncate));
      out.set(ids, row * contextLength);
    });
    return out;
  }
}
