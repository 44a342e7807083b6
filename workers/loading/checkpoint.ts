/** Finds a checkpoint's files in a source and pours the weights into the core, piece by piece. */

import { ClipError } from "../protocol/error.js";
import type { LoadRequest, OwnTransform } from "../protocol/load.js";
import type { ClipModel, Device, EncodingWasm, Headers, Opening } from "../runtime/wasm.js";
import type { LoadingPlatform } from "./platform.js";
import { findModel, isWeights } from "./sources/find-model.js";
import { type ReadContext, readAll, type Source, type SourceFile } from "./sources/source.js";
import { checkWeights } from "./sources/text.js";
import { ForeignTokenizer, isClipTokenizer } from "./tokenizer/foreign-tokenizer.js";

/** Bytes read for a header before its length is known; most are smaller. */
const HEADER_GUESS = 1 << 16;
/** Bytes between two wanted tensors that cost less than another request. */
const GAP = 1 << 16;

const OWN_TRANSFORM: OwnTransform = "preprocess.json";

/** A checkpoint's small files, by what the core calls them. */
interface SideFiles {
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

/** How a checkpoint is opened. */
type OpenRequest = Pick<LoadRequest, "towers" | "reference" | "dtype" | "maxTensorBytes">;

/** A model, and the tokenizer that the core does not have. */
export interface OpenedModel {
  model: ClipModel;
  tokenizer: ForeignTokenizer | undefined;
}

function missing(source: Source, expected: string, names: string[] | undefined): ClipError {
  const got = names === undefined ? "none of them" : names.length > 0 ? names.slice(0, 8).join(", ") : "no files";
  const pickle = names?.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  const hint = pickle
    ? `; ${pickle} is a pickle, which can run code: convert it to safetensors`
    : names === undefined
      ? " (pickles such as pytorch_model.bin are not read; a Hub repository may have safetensors at another revision)"
      : "";
  return new ClipError("invalid-source", `${source.label}: expected ${expected}, got ${got}${hint}`);
}

/** Whether a model's config is Hugging Face's: of a whole model, or of one tower. */
const isHf = (config: string) => /"(vision_config|model_type)"\s*:/.test(config);

/** What Hugging Face calls the towers of the families that are known here. */
const ONE_TOWER = /^(clip|siglip)_(text|vision)_model$/;

/** Keys that only a CLIP's config has: other libraries use the same file names. */
function isModelConfig(text: string): boolean {
  try {
    const config = JSON.parse(text) ?? {};
    const isWhole = ["vision_config", "model_cfg", "vision_cfg", "embedDim"].some((key) => key in config);
    return isWhole || ONE_TOWER.test(config.model_type);
  } catch {
    return true; // the core says what is wrong with it
  }
}

/** The transform: the caller's own, or the publisher's. OpenCLIP's is in its config, whatever lies beside it. */
async function readTransform(
  source: Source,
  config: string | undefined,
): Promise<Pick<SideFiles, "processor" | "preprocess">> {
  if ((await source.list())?.includes(OWN_TRANSFORM)) return named({ preprocess: await source.text(OWN_TRANSFORM) });
  if (config !== undefined && !isHf(config)) return {};
  const [processor, preprocess] = await Promise.all([
    source.text("processor_config.json"),
    source.text("preprocessor_config.json"),
  ]);
  return named({ processor, preprocess });
}

/** Whether texts are cut by OpenCLIP's own tokenizer: it takes the merges, and nothing else that a file says. */
const takesOpenClips = (config: string | undefined) =>
  config !== undefined && !isHf(config) && !config.includes('"hf_tokenizer_name"');

/** A tokenizer's files. Hugging Face names special and added tokens in files of their own where its config lacks them. */
async function readTokenizer(source: Source, config: string | undefined): Promise<SideFiles> {
  const [tokenizer, tokenizerConfig] = await Promise.all([
    source.text("tokenizer.json"),
    source.text("tokenizer_config.json"),
  ]);
  const isOpenClips = takesOpenClips(config);
  const complete = isOpenClips || tokenizerConfig?.includes('"added_tokens_decoder"');
  const [merges, vocab, specialTokens, addedTokens] = await Promise.all([
    tokenizer === undefined ? source.text("merges.txt") : undefined,
    tokenizer === undefined && !isOpenClips ? source.text("vocab.json") : undefined,
    complete ? undefined : source.text("special_tokens_map.json"),
    complete ? undefined : source.text("added_tokens.json"),
  ]);
  return named({ tokenizer, tokenizerConfig, merges, vocab, specialTokens, addedTokens });
}

/** Without what is not there. */
function named(files: { [name in keyof SideFiles]: string | undefined }): SideFiles {
  return Object.fromEntries(Object.entries(files).filter(([, text]) => text !== undefined));
}

async function readSideFiles(source: Source, towers: LoadRequest["towers"]): Promise<SideFiles> {
  const found = await source.text("config.json");
  const config =
    found !== undefined && isModelConfig(found) ? found : ((await source.text("open_clip_config.json")) ?? found);
  const [transform, tokenizer] = await Promise.all([
    readTransform(source, config),
    towers === "image" ? {} : readTokenizer(source, config),
  ]);
  return { ...named({ config }), ...transform, ...tokenizer };
}

/** Names of the shards that an index lists. */
function shardNames(index: string, name: string): string[] {
  let map: unknown;
  try {
    map = JSON.parse(index).weight_map;
  } catch {
    map = undefined;
  }
  const names = typeof map === "object" && map !== null ? [...new Set(Object.values(map))].sort() : [];
  // a name is a name, not a path or an address
  const bad = names.find((shard) => typeof shard !== "string" || !/^[\w.-]+\.safetensors$/.test(shard));
  if (names.length === 0 || bad !== undefined) {
    const got = bad === undefined ? "no weight_map" : JSON.stringify(bad);
    throw new ClipError("invalid-checkpoint", `${name}: expected a weight_map to .safetensors files, got ${got}`);
  }
  return names as string[];
}

async function openWeights(source: Source, config: string | undefined): Promise<SourceFile[]> {
  const names = await source.list();
  const openClip = config !== undefined && !isHf(config);
  const wanted = openClip
    ? ["open_clip_model.safetensors", "model.safetensors"]
    : ["model.safetensors", "open_clip_model.safetensors"];
  for (const name of wanted) {
    const index = names === undefined || names.includes(name) ? undefined : `${name}.index.json`;
    if (index === undefined) {
      const file = await source.open(name);
      if (file) return [file];
    }
    const text = await source.text(index ?? `${name}.index.json`);
    if (text === undefined) continue;
    return Promise.all(
      shardNames(text, `${name}.index.json`).map(async (shard) => {
        const file = await source.open(shard);
        if (!file) throw missing(source, `the shard ${shard}`, names);
        return file;
      }),
    );
  }
  const others = names?.filter((name) => name.endsWith(".safetensors") && isWeights(name)) ?? [];
  const only = others.length === 1 && others[0] !== undefined ? await source.open(others[0]) : undefined;
  if (only) return [only];
  throw missing(source, `${wanted[0]}, or one .safetensors file`, names);
}

async function readHeader(file: SourceFile, wasm: EncodingWasm): Promise<Uint8Array> {
  const start = await readAll(file, 0, Math.min(file.size, HEADER_GUESS));
  checkWeights(file.name, start);
  const length = Math.min(file.size, wasm.Headers.length(start));
  if (length <= start.length) return start;
  const header = new Uint8Array(length);
  header.set(start);
  header.set(await readAll(file, start.length, length), start.length);
  return header;
}

/** The weights with their headers, and the files beside them. */
async function openFiles(
  source: Source,
  headers: Headers,
  wasm: EncodingWasm,
  towers: LoadRequest["towers"],
): Promise<{ files: SourceFile[]; side: SideFiles }> {
  if (source.only === undefined) {
    const side = await readSideFiles(source, towers);
    const files = await openWeights(source, side.config);
    for (const file of files) headers.add(await readHeader(file, wasm), file.size);
    return { files, side };
  }
  const file = await source.open(source.only);
  if (!file) throw missing(source, "a file", await source.list());
  headers.add(await readHeader(file, wasm), file.size);
  // what clipwright wrote carries everything; what lies beside it may be another model's
  return { files: [file], side: headers.complete ? {} : await readSideFiles(source, towers) };
}

/** Bytes that are fetched at one go, and what of them is wanted. */
interface Run {
  file: number;
  begin: number;
  end: number;
  parts: { begin: number; end: number }[];
}

function runsOf(parts: Float64Array): Run[] {
  const runs: Run[] = [];
  for (let i = 0; i < parts.length; i += 3) {
    const [file = 0, begin = 0, end = 0] = parts.subarray(i, i + 3);
    const last = runs.at(-1);
    if (last && last.file === file && begin - last.end <= GAP) {
      last.end = end;
      last.parts.push({ begin, end });
    } else {
      runs.push({ file, begin, end, parts: [{ begin, end }] });
    }
  }
  return runs;
}

async function pour(opening: Opening, files: SourceFile[], context: ReadContext): Promise<void> {
  const runs = runsOf(opening.parts());
  const totalBytes = runs.reduce((sum, { begin, end }) => sum + end - begin, 0);
  let loadedBytes = 0;
  for (const run of runs) {
    const parts = run.parts[Symbol.iterator]();
    let part = parts.next().value;
    let at = run.begin;
    for await (const piece of (files[run.file] as SourceFile).stream(run.begin, run.end)) {
      context.signal.throwIfAborted();
      let from = 0;
      while (part && from < piece.length) {
        from = Math.max(from, part.begin - at);
        const to = Math.min(piece.length, part.end - at);
        if (to > from) opening.push(piece.subarray(from, to));
        if (at + to < part.end) break;
        from = to;
        part = parts.next().value;
      }
      at += piece.length;
      loadedBytes += piece.length;
      context.progress({ phase: "load", loadedBytes, totalBytes });
    }
  }
}

/** Checks all but the weights; of a tokenizer that is not CLIP's the core is not told. */
function openSideFiles(
  wasm: EncodingWasm,
  headers: Headers,
  side: SideFiles,
  foreign: boolean,
  request: OpenRequest,
  device: Device,
): Opening {
  const { config, processor, preprocess } = side;
  const files = new wasm.SideFiles();
  try {
    for (const [name, text] of Object.entries(foreign ? named({ config, processor, preprocess }) : side)) {
      files.set(name, text);
    }
    const { reference, towers, dtype, maxTensorBytes } = request;
    return wasm.Opening.open(headers, files, reference, towers, dtype, maxTensorBytes, device);
  } finally {
    files.free();
  }
}

/** Loads a model; nothing of it is left where it fails. */
export async function openModel(
  wasm: EncodingWasm,
  device: Device,
  place: Source,
  request: OpenRequest,
  context: ReadContext,
  platform: LoadingPlatform,
): Promise<OpenedModel> {
  // asked for at once, where asking takes time
  const [source] = await Promise.all([
    findModel(place, isWeights, context.warn),
    place.only ?? place.text("config.json"),
  ]);
  const headers = new wasm.Headers();
  const { files, side } = await openFiles(source, headers, wasm, request.towers);
  const saysClass = takesOpenClips(side.config) ? undefined : side.tokenizerConfig;
  const isForeign = side.tokenizer !== undefined && !isClipTokenizer(side.tokenizer, saysClass);
  const foreign = isForeign ? side.tokenizer : undefined;
  const opening = openSideFiles(wasm, headers, side, foreign !== undefined, request, device);
  try {
    if (foreign === undefined && opening.wantsPublishedMerges) opening.setMerges(await platform.merges());
    const tokenizer =
      foreign === undefined
        ? undefined
        : await ForeignTokenizer.open({ ...side, tokenizer: foreign }, opening, wasm.cleanText, platform.tokenizers);
    await pour(opening, files, context);
    return { model: opening.finish(), tokenizer };
  } catch (error) {
    // finish takes it over even where it fails
    if (!(error instanceof WebAssembly.RuntimeError)) freeQuietly(opening);
    throw error;
  }
}

function freeQuietly(opening: Opening): void {
  try {
    opening.free();
  } catch {
    // already taken over
  }
}
