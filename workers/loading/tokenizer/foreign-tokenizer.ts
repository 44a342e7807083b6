/** Tokenizers that are not CLIP's own byte-pair encoding (SentencePiece, Gemma), by Hugging Face's library. */

import type { ExportedFile } from "../../protocol/api.js";
import { ClipError } from "../../protocol/error.js";
import { type FileTokenizer, loadTokenizersWasm } from "../../runtime/tokenizers-wasm.js";
import type { WasmBinary } from "../../runtime/wasm.js";

/** What `CLIPTokenizer` does to a text before it looks for byte pairs, whatever its `tokenizer.json` says. */
const CLIPS_OWN = {
  normalizers: ["NFC", "Replace", "Lowercase"],
  pre_tokenizers: ["Split", "ByteLevel"],
};

/** Types of the steps of a normalizer or a pre-tokenizer. */
const steps = (of: { type?: string; normalizers?: unknown[]; pretokenizers?: unknown[] } | null | undefined) =>
  (of?.normalizers ?? of?.pretokenizers ?? (of ? [of] : [])).map((step) => (step as { type?: string }).type).join();

/**
 * Whether a `tokenizer.json` is CLIP's, which the core reads itself. Of another class than `CLIPTokenizer` it is so only where it
 * cuts texts as that one does: other classes take the file's word. What is no JSON is the core's to refuse.
 */
export function isClipTokenizer(json: string, configJson?: string): boolean {
  try {
    const { model, normalizer, pre_tokenizer } = JSON.parse(json) ?? {};
    if (typeof model !== "object" || model === null) return true;
    if (model.end_of_word_suffix !== "</w>") return false;
    const { tokenizer_class } = configJson === undefined ? {} : (JSON.parse(configJson) ?? {});
    if (tokenizer_class === undefined || /^CLIPTokenizer(Fast)?$/.test(tokenizer_class)) return true;
    return (
      steps(normalizer) === CLIPS_OWN.normalizers.join() && steps(pre_tokenizer) === CLIPS_OWN.pre_tokenizers.join()
    );
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

/** What lies beside a `tokenizer.json`, as text. */
interface ForeignFiles {
  tokenizer: string;
  tokenizerConfig?: string;
  specialTokens?: string;
  addedTokens?: string;
}

/** What an OpenCLIP config says of the tokenizer. */
interface OpenClipSays {
  /** As the core's `cleanText` takes it. */
  cleaning: string;
  /** Keys, as JSON, that go before those of `tokenizer_config.json`. */
  tokenizerOverrides: string;
}

/** The core's: a text as it is before it is tokenized. */
type CleanText = (text: string, cleaning: string) => string;

/** `AddedToken` of Hugging Face's tokenizers. */
interface AddedToken {
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

type Config = Record<string, unknown>;

/** Names of special tokens in the order in which transformers adds them. */
const NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/**
 * Special tokens of transformers' classes where `tokenizer_config.json` names none. Not their side of padding: Gemma's class pads
 * on the left, SigLIP 2, which is why Gemma's is here, was trained with padding on the right, and its files say so.
 */
const GEMMA = {
  bos_token: "<bos>",
  eos_token: "<eos>",
  unk_token: "<unk>",
  pad_token: "<pad>",
  mask_token: "<mask>",
};
const T5 = { eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };
const CLASSES: Record<string, Config> = {
  GemmaTokenizer: GEMMA,
  GemmaTokenizerFast: GEMMA,
  Siglip2Tokenizer: GEMMA,
  T5Tokenizer: T5,
  T5TokenizerFast: T5,
};

/** OpenCLIP's cleaning, for which transformers has no word: a key of ours in the `tokenizer_config.json` of an export. */
const CLEANING = "clipwright_clean";

/** Keys that are obeyed, besides those that end in `_token`. */
const OBEYED = new Set([
  CLEANING,
  "padding_side",
  "truncation_side",
  "split_special_tokens",
  "added_tokens_decoder",
  "extra_special_tokens",
  "additional_special_tokens",
  "model_specific_special_tokens",
  "tokenizer_class",
]);

/** Keys that change no id of a `tokenizer.json`: it holds what they say. */
const WITHOUT_EFFECT = new Set(
  `_commit_hash _from_auto _json_padding _json_truncation _spm_precompiled_charsmap add_bos_token add_eos_token add_prefix_space auto_map backend chat_control_tokens
  chat_template clean_up_tokenization_spaces clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output
  device_map do_lower_case errors extra_ids files_loaded fix_mistral_regex from_slow full_tokenizer_file gguf_file
  init_inputs is_local language legacy local_files_only max_length max_len merges merges_file model_input_names
  model_max_length name_or_path pad_to_multiple_of pad_token_type_id post_processor processor_class response_schema
  response_template sp_model_kwargs spaces_between_special_tokens special_tokens_map_file stride tokenizer tokenizer_file
  tokenizer_object tokenizer_padding tokenizer_truncation transformers_version trim_offsets truncation_strategy
  unk_id use_default_system_prompt use_fast verbose vocab vocab_file`.split(/\s+/),
);

const special = (content: string): AddedToken => ({
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** A token as a config has it: spelled out, or an object. */
function toToken(value: unknown, key: string): AddedToken {
  if (typeof value === "string") return special(value);
  const { content, single_word, lstrip, rstrip, normalized, special: isSpecial } = (value ?? {}) as Partial<AddedToken>;
  if (typeof content !== "string") throw new Error(`${key}: expected a token, got ${JSON.stringify(value)}`);
  return {
    content,
    single_word: single_word === true,
    lstrip: lstrip === true,
    rstrip: rstrip === true,
    normalized: normalized ?? isSpecial !== true,
    special: isSpecial === true,
  };
}

function parse(json: string | undefined, file: string): Config {
  const value = json === undefined ? {} : parseJson(json, file);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${file}: expected an object`);
  return value as Config;
}

function parseJson(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** What the files beside a `tokenizer.json` say, read as transformers 5 reads them. */
function readConfig(files: ForeignFiles, overrides: Config): { config: Config; tokens: AddedToken[] } {
  const said = { ...parse(files.tokenizerConfig, "tokenizer_config.json"), ...overrides };
  const usual = CLASSES[String(said.tokenizer_class)] ?? {};
  const config: Config = {
    ...usual,
    ...Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null)),
  };
  const tokens: AddedToken[] = [];
  const decoder = config.added_tokens_decoder;
  if (typeof decoder === "object" && decoder !== null) {
    const byId = Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b));
    tokens.push(...byId.map(([, token]) => toToken(token, "added_tokens_decoder")));
  } else {
    Object.assign(config, parse(files.specialTokens, "special_tokens_map.json"));
    const named = namedTokens(config).map(({ content }) => content);
    const byId = Object.entries(parse(files.addedTokens, "added_tokens.json")).sort(
      ([, a], [, b]) => Number(a) - Number(b),
    );
    for (const [content] of byId) {
      tokens.push({ ...special(content), normalized: !named.includes(content), special: named.includes(content) });
    }
  }
  for (const token of namedTokens(config)) {
    const known = tokens.find(({ content }) => content === token.content);
    if (known) known.special = true;
    else tokens.push({ ...token, special: true });
  }
  return { config, tokens };
}

/** Special tokens of a config in the order in which they are added. */
function namedTokens(config: Config): AddedToken[] {
  const others = Object.keys(config).filter((key) => key.endsWith("_token") && !NAMED.includes(key));
  const isToken = (value: unknown) => typeof value === "string" || typeof value === "object";
  const named = [...NAMED, ...others].filter((key) => isToken(config[key]) && config[key] !== null);
  const more = ["model_specific_special_tokens", "extra_special_tokens"].flatMap((key) => {
    const value = config[key] ?? (key === "extra_special_tokens" ? config.additional_special_tokens : undefined);
    return Object.values(value ?? {}).map((token) => toToken(token, key));
  });
  return [...named.map((key) => toToken(config[key], key)), ...more];
}

function side(value: unknown, key: string): "left" | "right" {
  if (value === "left" || value === "right") return value;
  throw new Error(`tokenizer_config.json: ${key}: expected "left" or "right", got ${JSON.stringify(value)}`);
}

/** Ids of texts, at the model's length. */
export class ForeignTokenizer {
  readonly #tokenizer: FileTokenizer;
  readonly #clean: (text: string) => string;
  readonly #padId: number;
  readonly #padsLeft: boolean;
  readonly #cutsLeft: boolean;
  /** Its files, as an export has them. */
  readonly files: ExportedFile[];
  /** What is odd in its files, in words. */
  readonly #warnings: string[] = [];
  /** `model_max_length`, where it is a number. */
  readonly #maxLength: number | undefined;

  private constructor(tokenizer: FileTokenizer, files: ForeignFiles, says: OpenClipSays, cleanText: CleanText) {
    const file = JSON.parse(files.tokenizer);
    const overrides = parse(says.tokenizerOverrides, "tokenizer_kwargs");
    const { config, tokens } = readConfig(files, overrides);
    this.#tokenizer = tokenizer;
    const said: Config = { ...parse(files.tokenizerConfig, "tokenizer_config.json"), ...overrides };
    const cleaning = says.cleaning === "none" ? (said[CLEANING] ?? "none") : says.cleaning;
    if (typeof cleaning !== "string")
      throw new Error(`tokenizer_config.json: ${CLEANING}: expected a name, got ${typeof cleaning}`);
    this.#clean = (text) => cleanText(text, cleaning);
    this.#clean("");
    if (cleaning !== "none") said[CLEANING] = cleaning;
    if (said.pad_token === null) {
      this.#warnings.push(
        "tokenizer_config.json: pad_token is null: texts are padded with that of the tokenizer's class or file",
      );
    }
    const texts = {
      "tokenizer.json": files.tokenizer,
      "tokenizer_config.json": JSON.stringify(said, undefined, 2),
      "special_tokens_map.json": files.specialTokens,
      "added_tokens.json": files.addedTokens,
    };
    this.files = Object.entries(texts).flatMap(([name, text]) =>
      text === undefined ? [] : [{ name, data: new TextEncoder().encode(text) }],
    );
    const missing = tokens.filter(({ content }) => content !== "" && tokenizer.tokenToId(content) === undefined);
    const added = new Set((file.added_tokens ?? []).map((token: { content?: unknown }) => token.content));
    // those of the vocabulary become tokens that are looked for; those that the file has added stay as it says
    tokenizer.addTokens(JSON.stringify(tokens.filter((token) => missing.includes(token) || !added.has(token.content))));
    tokenizer.splitSpecial(config.split_special_tokens === true);
    const padId =
      config.pad_token === undefined
        ? file.padding?.pad_id
        : tokenizer.tokenToId(toToken(config.pad_token, "pad_token").content);
    if (!Number.isInteger(padId)) throw new Error("expected a pad_token of the vocabulary, got none");
    this.#padId = padId;
    const direction = (of: { direction?: string } | null | undefined) => of?.direction?.toLowerCase();
    this.#padsLeft = side(config.padding_side ?? direction(file.padding) ?? "right", "padding_side") === "left";
    this.#cutsLeft =
      side(config.truncation_side ?? direction(file.truncation) ?? "right", "truncation_side") === "left";
    const unknown = Object.keys({ ...said, ...config }).filter(
      (key) => !OBEYED.has(key) && !WITHOUT_EFFECT.has(key) && !key.endsWith("_token"),
    );
    this.#warnings.push(...unknown.map((key) => `tokenizer_config.json: ${key} is not known and was not used`));
    const length = config.model_max_length ?? config.max_len;
    this.#maxLength = typeof length === "number" ? length : undefined;
    // some of what does not fit together is only found in use
    tokenizer.encode("");
  }

  /**
   * Reads a tokenizer's files; `module` gives the library, `cleanText` is the core's.
   *
   * @throws ClipError `invalid-tokenizer`
   */
  static async open(
    files: ForeignFiles,
    says: OpenClipSays,
    cleanText: CleanText,
    module: () => Promise<WasmBinary>,
  ): Promise<ForeignTokenizer> {
    const { FileTokenizer } = await loadTokenizersWasm(await module());
    const { cleaning, tokenizerOverrides } = says;
    try {
      const tokenizer = new FileTokenizer(files.tokenizer);
      return new ForeignTokenizer(tokenizer, files, { cleaning, tokenizerOverrides }, cleanText);
    } catch (error) {
      throw invalid(error);
    }
  }

  /** What its user should be told of it beside a model of this length, in words. */
  warningsFor(contextLength: number): string[] {
    const length = this.#maxLength;
    if (length === undefined || length >= contextLength) return this.#warnings;
    const instead = `texts are padded and cut to the model's ${contextLength} tokens all the same`;
    return [...this.#warnings, `tokenizer_config.json: model_max_length is ${length}: ${instead}`];
  }

  #encode(text: string, cutTo?: number): Uint32Array {
    try {
      return cutTo === undefined
        ? this.#tokenizer.encode(text)
        : this.#tokenizer.encodeCut(text, cutTo, this.#cutsLeft);
    } catch (error) {
      throw invalid(error);
    }
  }

  /** `[texts, contextLength]`, row by row. A text that is cut keeps the special tokens around it. */
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
