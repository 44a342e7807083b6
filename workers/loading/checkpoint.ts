/** Loads a model from a source. */

import { ClipError, isPanic } from "../protocol/error.js";
import type { LoadRequest } from "../protocol/load.js";
import type { ClipModel, Device, EncodingWasm, Headers, ModelLoader } from "../runtime/wasm.js";
import type { LoadingPlatform } from "./platform.js";
import { pushWeights } from "./push-weights.js";
import { existing, hasOpenClipTokenizer, readSideFiles, type SideFiles } from "./side-files.js";
import { findModel, isWeights } from "./sources/find-model.js";
import type { ReadContext, Source, SourceFile } from "./sources/source.js";
import { isClipTokenizer } from "./tokenizer/clip-tokenizer.js";
import { ForeignTokenizer } from "./tokenizer/foreign-tokenizer.js";
import { missingFile, openWeights, readHeader } from "./weight-files.js";

/** The options of a load that concern the checkpoint. */
type CheckpointOptions = Pick<LoadRequest, "towers" | "reference" | "dtype" | "maxTensorBytes">;

/** A model, and its tokenizer if the core does not have it. */
export interface LoadedModel {
  model: ClipModel;
  tokenizer: ForeignTokenizer | undefined;
}

/** Opens the weights, adds their headers to `headers`, and reads the files beside them. */
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
  if (!file) throw missingFile(source, source.only, await source.list());
  headers.add(await readHeader(file, wasm), file.size);
  // a file that clipwright wrote is complete; the files beside it may be another model's
  return { files: [file], side: headers.complete ? {} : await readSideFiles(source, towers) };
}

/** Has the core check everything but the weights. A foreign tokenizer's files are kept from it. */
function createLoader(
  wasm: EncodingWasm,
  headers: Headers,
  side: SideFiles,
  isForeign: boolean,
  { reference, towers, dtype, maxTensorBytes }: CheckpointOptions,
  device: Device,
): ModelLoader {
  const { config, processor, preprocess } = side;
  const files = new wasm.SideFiles();
  try {
    for (const [name, text] of Object.entries(isForeign ? existing({ config, processor, preprocess }) : side)) {
      files.set(name, text);
    }
    return wasm.ModelLoader.open(headers, files, reference, towers, dtype, maxTensorBytes, device);
  } finally {
    files.free();
  }
}

/** Loads a model; frees all memory if that fails. */
export async function loadModel(
  wasm: EncodingWasm,
  device: Device,
  parent: Source,
  options: CheckpointOptions,
  context: ReadContext,
  platform: LoadingPlatform,
): Promise<LoadedModel> {
  // requests the config early: from a server both take a round trip
  const [source] = await Promise.all([
    findModel(parent, isWeights, context.warn),
    parent.only ?? parent.text("config.json"),
  ]);
  const headers = new wasm.Headers();
  const { files, side } = await openFiles(source, headers, wasm, options.towers);
  const tokenizerConfig = hasOpenClipTokenizer(side.config) ? undefined : side.tokenizerConfig;
  const isForeign = side.tokenizer !== undefined && !isClipTokenizer(side.tokenizer, tokenizerConfig);
  const foreign = isForeign ? side.tokenizer : undefined;
  const { reference } = options;
  if (isForeign && reference !== undefined) {
    const expected = "none beside a tokenizer that is not CLIP's, which follows its own files";
    throw new ClipError("invalid-option", `invalid option tokenizer: expected ${expected}, got ${reference}`);
  }
  const loader = createLoader(wasm, headers, side, foreign !== undefined, options, device);
  try {
    if (foreign === undefined && loader.wantsPublishedMerges) loader.setMerges(await platform.merges());
    const tokenizer =
      foreign === undefined
        ? undefined
        : await ForeignTokenizer.open({ ...side, tokenizer: foreign }, loader, wasm.cleanText, platform.tokenizers);
    await pushWeights(loader, files, context);
    return { model: loader.finish(), tokenizer };
  } catch (error) {
    // after a panic the core may not be called
    if (!isPanic(error)) freeQuietly(loader);
    throw error;
  }
}

function freeQuietly(loader: ModelLoader): void {
  try {
    loader.free();
  } catch {
    // `finish` has freed it, even if it failed
  }
}
