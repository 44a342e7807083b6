/** Reads the files beside a `tokenizer.json` as transformers 5 does. */

/** The files of a tokenizer, as text. */
export interface TokenizerFiles {
  tokenizer: string;
  tokenizerConfig?: string;
  specialTokens?: string;
  addedTokens?: string;
}

/** `AddedToken` of Hugging Face's tokenizers. */
export interface AddedToken {
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

/** The keys of a `tokenizer_config.json`. */
export type TokenizerConfig = Record<string, unknown>;

/** Keys of special tokens, in the order in which transformers adds them. */
const NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/**
 * Special tokens of transformers' classes, for a `tokenizer_config.json` that names none. The side of padding is not among
 * them: Gemma's class pads on the left, but SigLIP 2, which uses it, was trained with padding on the right, and its files say so.
 */
const GEMMA = {
  bos_token: "<bos>",
  eos_token: "<eos>",
  unk_token: "<unk>",
  pad_token: "<pad>",
  mask_token: "<mask>",
};
const T5 = { eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };
const CLASSES: Record<string, TokenizerConfig> = {
  GemmaTokenizer: GEMMA,
  GemmaTokenizerFast: GEMMA,
  Siglip2Tokenizer: GEMMA,
  T5Tokenizer: T5,
  T5TokenizerFast: T5,
};

/** Our own key for OpenCLIP's cleaning of texts, in the `tokenizer_config.json` of an export: transformers has none. */
export const CLEANING_KEY = "clipwright_clean";

/** Keys that are used, besides those that end in `_token`. */
const USED_KEYS = new Set([
  CLEANING_KEY,
  "padding_side",
  "truncation_side",
  "split_special_tokens",
  "added_tokens_decoder",
  "extra_special_tokens",
  "additional_special_tokens",
  "model_specific_special_tokens",
  "tokenizer_class",
]);

/** Keys that change no token id: the `tokenizer.json` holds their effect. */
const IGNORED_KEYS = new Set(
  `_commit_hash _from_auto _json_padding _json_truncation _spm_precompiled_charsmap add_bos_token add_eos_token
  add_prefix_space auto_map backend chat_control_tokens chat_template clean_up_tokenization_spaces clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output
  device_map do_lower_case errors extra_ids files_loaded fix_mistral_regex from_slow full_tokenizer_file gguf_file
  init_inputs is_local language legacy local_files_only max_length max_len merges merges_file model_input_names
  model_max_length name_or_path pad_to_multiple_of pad_token_type_id post_processor processor_class response_schema
  response_template sp_model_kwargs spaces_between_special_tokens special_tokens_map_file stride tokenizer tokenizer_file
  tokenizer_object tokenizer_padding tokenizer_truncation transformers_version trim_offsets truncation_strategy
  unk_id use_default_system_prompt use_fast verbose vocab vocab_file`.split(/\s+/),
);

const specialToken = (content: string): AddedToken => ({
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
});

/** Reads a token, which a config has as a string or an object. */
export function toToken(value: unknown, key: string): AddedToken {
  if (typeof value === "string") return specialToken(value);
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

/** Parses an object; {} if there is no file. */
export function parseConfig(json: string | undefined, file: string): TokenizerConfig {
  const value = json === undefined ? {} : parseJson(json, file);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new Error(`${file}: expected an object`);
  return value as TokenizerConfig;
}

function parseJson(json: string, file: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message}`);
  }
}

/** What the files say: the config as given, the same with the class's special tokens, and the tokens to add. */
export interface ReadConfig {
  given: TokenizerConfig;
  config: TokenizerConfig;
  tokens: AddedToken[];
}

/** Merges the files; `overrides` replace keys of `tokenizer_config.json`. */
export function readConfig(files: TokenizerFiles, overrides: TokenizerConfig): ReadConfig {
  const given = { ...parseConfig(files.tokenizerConfig, "tokenizer_config.json"), ...overrides };
  const config: TokenizerConfig = {
    ...CLASSES[String(given.tokenizer_class)],
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null)),
  };
  const tokens: AddedToken[] = [];
  const decoder = config.added_tokens_decoder;
  if (typeof decoder === "object" && decoder !== null) {
    const byId = Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b));
    tokens.push(...byId.map(([, token]) => toToken(token, "added_tokens_decoder")));
  } else {
    Object.assign(config, parseConfig(files.specialTokens, "special_tokens_map.json"));
    const named = namedTokens(config).map(({ content }) => content);
    const byId = Object.entries(parseConfig(files.addedTokens, "added_tokens.json")).sort(
      ([, a], [, b]) => Number(a) - Number(b),
    );
    for (const [content] of byId) {
      const isNamed = named.includes(content);
      tokens.push({ ...specialToken(content), normalized: !isNamed, special: isNamed });
    }
  }
  for (const token of namedTokens(config)) {
    const known = tokens.find(({ content }) => content === token.content);
    if (known) known.special = true;
    else tokens.push({ ...token, special: true });
  }
  return { given, config, tokens };
}

/** Returns the special tokens that a config names, in the order in which they are added. */
function namedTokens(config: TokenizerConfig): AddedToken[] {
  const others = Object.keys(config).filter((key) => key.endsWith("_token") && !NAMED.includes(key));
  const isToken = (value: unknown) => typeof value === "string" || typeof value === "object";
  const named = [...NAMED, ...others].filter((key) => isToken(config[key]) && config[key] !== null);
  const more = ["model_specific_special_tokens", "extra_special_tokens"].flatMap((key) => {
    const value = config[key] ?? (key === "extra_special_tokens" ? config.additional_special_tokens : undefined);
    return Object.values(value ?? {}).map((token) => toToken(token, key));
  });
  return [...named.map((key) => toToken(config[key], key)), ...more];
}

/** Lists the keys that are neither used nor known to have no effect. */
export const unknownKeys = (config: TokenizerConfig): string[] =>
  Object.keys(config).filter((key) => !USED_KEYS.has(key) && !IGNORED_KEYS.has(key) && !key.endsWith("_token"));

/** Reads the side of padding or truncation. */
export function sideOf(value: unknown, key: string): "left" | "right" {
  if (value === "left" || value === "right") return value;
  throw new Error(`tokenizer_config.json: ${key}: expected "left" or "right", got ${JSON.stringify(value)}`);
}
