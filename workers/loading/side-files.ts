/** Reads the small files of a checkpoint: config, transform, tokenizer. */

import type { LoadRequest, OwnTransform } from "../protocol/load.js";
import type { Source } from "./sources/source.js";

const OWN_TRANSFORM: OwnTransform = "preprocess.json";

/** The small files of a checkpoint, by the names that the core gives them. */
export interface SideFiles {
  config?: string;
  processor?: string;
  preprocess?: string;
  tokenizer?: string;
  tokenizerConfig?: string;
  merges?: string;
  vocab?: string;
  specialTokens?: string;
  addedTokens?: string;
}

/** Omits the files that a source does not have. */
export function existing(files: { [name in keyof SideFiles]: string | undefined }): SideFiles {
  return Object.fromEntries(Object.entries(files).filter(([, text]) => text !== undefined));
}

/** Whether a config is Hugging Face's: of a whole model, or of one tower. */
export const isHuggingFace = (config: string) => /"(vision_config|model_type)"\s*:/.test(config);

/** `model_type` of one tower, as Hugging Face names it. */
const ONE_TOWER = /^(clip|siglip)_(text|vision)_model$/;

/** Whether a config is a CLIP's: other libraries also name theirs `config.json`. */
function isModelConfig(text: string): boolean {
  try {
    const config = JSON.parse(text) ?? {};
    const isWhole = ["vision_config", "model_cfg", "vision_cfg", "embedDim"].some((key) => key in config);
    return isWhole || ONE_TOWER.test(config.model_type);
  } catch {
    return true; // the core says what is wrong with it
  }
}

/** Reads the transform: the caller's own, or the publisher's. OpenCLIP's is in its config: files beside it are not its own. */
async function readTransform(
  source: Source,
  config: string | undefined,
): Promise<Pick<SideFiles, "processor" | "preprocess">> {
  if ((await source.list())?.includes(OWN_TRANSFORM)) return existing({ preprocess: await source.text(OWN_TRANSFORM) });
  if (config !== undefined && !isHuggingFace(config)) return {};
  const [processor, preprocess] = await Promise.all([
    source.text("processor_config.json"),
    source.text("preprocessor_config.json"),
  ]);
  return existing({ processor, preprocess });
}

/** Whether a model has OpenCLIP's own tokenizer, which takes nothing but the merges from files. */
export const hasOpenClipTokenizer = (config: string | undefined) =>
  config !== undefined && !isHuggingFace(config) && !config.includes('"hf_tokenizer_name"');

/** Reads the tokenizer's files. If its config has no `added_tokens_decoder`, special and added tokens are in other files. */
async function readTokenizer(source: Source, config: string | undefined): Promise<SideFiles> {
  const [tokenizer, tokenizerConfig] = await Promise.all([
    source.text("tokenizer.json"),
    source.text("tokenizer_config.json"),
  ]);
  const isOpenClip = hasOpenClipTokenizer(config);
  const isComplete = isOpenClip || tokenizerConfig?.includes('"added_tokens_decoder"');
  const [merges, vocab, specialTokens, addedTokens] = await Promise.all([
    tokenizer === undefined ? source.text("merges.txt") : undefined,
    tokenizer === undefined && !isOpenClip ? source.text("vocab.json") : undefined,
    isComplete ? undefined : source.text("special_tokens_map.json"),
    isComplete ? undefined : source.text("added_tokens.json"),
  ]);
  return existing({ tokenizer, tokenizerConfig, merges, vocab, specialTokens, addedTokens });
}

/** Reads all small files that the towers need. */
export async function readSideFiles(source: Source, towers: LoadRequest["towers"]): Promise<SideFiles> {
  const found = await source.text("config.json");
  const config =
    found !== undefined && isModelConfig(found) ? found : ((await source.text("open_clip_config.json")) ?? found);
  const [transform, tokenizer] = await Promise.all([
    readTransform(source, config),
    towers === "image" ? {} : readTokenizer(source, config),
  ]);
  return { ...existing({ config }), ...transform, ...tokenizer };
}
