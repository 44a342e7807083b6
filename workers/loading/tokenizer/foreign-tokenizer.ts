/** Tokenizers other than CLIP's byte-pair encoding (SentencePiece, Gemma), by Hugging Face's library. */

import type { ExportedFile } from "../../protocol/api.js";
import { ClipError, isPanic } from "../../protocol/error.js";
import { type FileTokenizer, loadTokenizersWasm } from "../../runtime/tokenizers-wasm.js";
import type { WasmBinary } from "../../runtime/wasm.js";
import {
  CLEANING_KEY,
  parseConfig,
  type ReadConfig,
  readConfig,
  sideOf,
  type TokenizerConfig,
  type TokenizerFiles,
  toToken,
  unknownKeys,
} from "./tokenizer-config.js";

/** Makes the error for a file; a panic is one too, since the library has a module of its own and can be called again. */
function invalid(error: unknown): ClipError {
  const message = isPanic(error)
    ? "the tokenizers library panicked: its parts contradict each other"
    : (error as Error).message;
  return new ClipError("invalid-tokenizer", `invalid tokenizer: tokenizer.json: ${message}`, { cause: error });
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

/** The keys of a `tokenizer.json` that are read here; the library reads the others. */
interface TokenizerJson {
  added_tokens?: { content?: unknown }[] | null;
  padding?: { direction?: string; pad_id?: unknown } | null;
  truncation?: { direction?: string } | null;
}

/** Adds the tokens of the config that the library does not match in texts yet. */
function addTokens(tokenizer: FileTokenizer, { tokens }: ReadConfig, { added_tokens }: TokenizerJson): void {
  const missing = tokens.filter(({ content }) => content !== "" && tokenizer.tokenToId(content) === undefined);
  const added = new Set((added_tokens ?? []).map(({ content }) => content));
  // tokens of the vocabulary must be added to be matched in texts; those that the file adds itself keep its flags
  tokenizer.addTokens(JSON.stringify(tokens.filter((token) => missing.includes(token) || !added.has(token.content))));
}

function padIdOf(tokenizer: FileTokenizer, config: TokenizerConfig, { padding }: TokenizerJson): number {
  const id =
    config.pad_token === undefined
      ? padding?.pad_id
      : tokenizer.tokenToId(toToken(config.pad_token, "pad_token").content);
  if (!Number.isInteger(id)) throw new Error("the pad_token is missing from the vocabulary");
  return id as number;
}

/** Returns a tokenizer's files as an export has them. */
function exportFiles(files: TokenizerFiles, given: TokenizerConfig): ExportedFile[] {
  const texts = {
    "tokenizer.json": files.tokenizer,
    "tokenizer_config.json": JSON.stringify(given, undefined, 2),
    "special_tokens_map.json": files.specialTokens,
    "added_tokens.json": files.addedTokens,
  };
  return Object.entries(texts).flatMap(([name, text]) =>
    text === undefined ? [] : [{ name, data: new TextEncoder().encode(text) }],
  );
}

/** Tokenizes texts and pads them to the model's context length. */
export class ForeignTokenizer {
  readonly #tokenizer: FileTokenizer;
  readonly #clean: (text: string) => string;
  readonly #padId: number;
  readonly #padsLeft: boolean;
  readonly #truncatesLeft: boolean;
  /** Its files, as an export has them. */
  readonly files: ExportedFile[];
  readonly #warnings: string[] = [];
  /** `model_max_length`, if it is a number. */
  readonly #maxLength: number | undefined;

  private constructor(tokenizer: FileTokenizer, files: TokenizerFiles, options: OpenClipOptions, cleanText: CleanText) {
    const file = JSON.parse(files.tokenizer) as TokenizerJson;
    const read = readConfig(files, parseConfig(options.tokenizerOverrides, "tokenizer_kwargs"));
    const { given, config } = read;
    this.#tokenizer = tokenizer;
    const cleaning = options.cleaning === "none" ? (given[CLEANING_KEY] ?? "none") : options.cleaning;
    if (typeof cleaning !== "string")
      throw new Error(`tokenizer_config.json: ${CLEANING_KEY}: expected a name, got ${typeof cleaning}`);
    this.#clean = (text) => cleanText(text, cleaning);
    // throws for an unknown name
    this.#clean("");
    if (cleaning !== "none") given[CLEANING_KEY] = cleaning;
    if (given.pad_token === null) {
      this.#warnings.push("tokenizer_config.json: pad_token is null: using that of the tokenizer's class or file");
    }
    this.files = exportFiles(files, given);
    addTokens(tokenizer, read, file);
    tokenizer.splitSpecial(config.split_special_tokens === true);
    this.#padId = padIdOf(tokenizer, config, file);
    const { padding, truncation } = file;
    const side = (key: string, direction: string | undefined) =>
      sideOf(config[key] ?? direction?.toLowerCase() ?? "right", key);
    this.#padsLeft = side("padding_side", padding?.direction) === "left";
    this.#truncatesLeft = side("truncation_side", truncation?.direction) === "left";
    const unknown = unknownKeys({ ...given, ...config });
    this.#warnings.push(...unknown.map((key) => `tokenizer_config.json: ${key} is not known and was not used`));
    const length = config.model_max_length ?? config.max_len;
    this.#maxLength = typeof length === "number" ? length : undefined;
    // some contradictions only show in use
    tokenizer.encode("");
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
    const { cleaning, tokenizerOverrides } = options;
    try {
      const tokenizer = new FileTokenizer(files.tokenizer);
      return new ForeignTokenizer(tokenizer, files, { cleaning, tokenizerOverrides }, cleanText);
    } catch (error) {
      throw invalid(error);
    }
  }

  /** Warnings for the user, for a model of this context length. */
  warningsFor(contextLength: number): string[] {
    const length = this.#maxLength;
    if (length === undefined || length >= contextLength) return this.#warnings;
    const instead = `texts are padded and truncated to the model's ${contextLength} tokens nevertheless`;
    return [...this.#warnings, `tokenizer_config.json: model_max_length is ${length}: ${instead}`];
  }

  #encode(text: string, maxLength?: number): Uint32Array {
    try {
      return maxLength === undefined
        ? this.#tokenizer.encode(text)
        : this.#tokenizer.encodeCut(text, maxLength, this.#truncatesLeft);
    } catch (error) {
      throw invalid(error);
    }
  }

  /**
   * Returns token ids, `[texts, contextLength]` in row-major order. A truncated text keeps its special tokens.
   *
   * @throws ClipError `caption-too-long` unless `truncate` is set
   */
  tokenize(texts: readonly string[], contextLength: number, truncate: boolean): Int32Array {
    const out = new Int32Array(texts.length * contextLength).fill(this.#padId);
    texts.forEach((text, row) => {
      const clean = this.#clean(text);
      let ids = this.#encode(clean);
      if (ids.length > contextLength) {
        if (!truncate) {
          throw new ClipError(
            "caption-too-long",
            `caption too long: expected at most ${contextLength} tokens with start and end, got ${ids.length}: ${JSON.stringify(text.slice(0, 80))}`,
          );
        }
        ids = this.#encode(clean, contextLength);
      }
      out.set(ids, row * contextLength + (this.#padsLeft ? contextLength - ids.length : 0));
    });
    return out;
  }
}
