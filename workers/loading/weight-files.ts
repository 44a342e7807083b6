/** Finds the safetensors files of a checkpoint, and reads their headers. */

import { ClipError } from "../protocol/error.js";
import type { EncodingWasm } from "../runtime/wasm.js";
import { isHuggingFace } from "./side-files.js";
import { checkSafetensors } from "./sources/content.js";
import { isWeights } from "./sources/find-model.js";
import { readAll, type Source, type SourceFile } from "./sources/source.js";

/** Bytes read for a header whose length is not known yet; most are shorter. */
const HEADER_GUESS = 1 << 16;
/** Files that a message names. */
const MAX_NAMED = 8;

/** Makes the error for a file that a source does not have; `names` are the files that it has. */
export function missingFile(source: Source, expected: string, names: string[] | undefined): ClipError {
  if (source.refusal) return source.refusal;
  if (names === undefined) {
    const hint =
      "pickles such as pytorch_model.bin are not read; a Hub repository may have safetensors at another revision";
    return new ClipError("invalid-source", `${source.label}: the server has no ${expected} (${hint})`);
  }
  const got = names.length > 0 ? names.slice(0, MAX_NAMED).join(", ") : "no files";
  const pickle = names.find((name) => /\.(bin|pt|pth|ckpt)$/.test(name));
  const hint = pickle ? `; ${pickle} is a pickle, which can run code: convert it to safetensors` : "";
  return new ClipError("invalid-source", `${source.label}: expected ${expected}, got ${got}${hint}`);
}

/** Reads the names of the shards from a checkpoint's index. */
function shardNames(index: string, name: string): string[] {
  let map: unknown;
  try {
    map = JSON.parse(index).weight_map;
  } catch {
    map = undefined;
  }
  const names = typeof map === "object" && map !== null ? [...new Set(Object.values(map))].sort() : [];
  // in the folder of the index
  const bad = names.find((shard) => typeof shard !== "string" || !/^[^/\\\p{Cc}]+\.safetensors$/u.test(shard));
  if (names.length === 0 || bad !== undefined) {
    const got = bad === undefined ? "no weight_map" : JSON.stringify(bad);
    throw new ClipError("invalid-checkpoint", `${name}: expected a weight_map to .safetensors files, got ${got}`);
  }
  return names as string[];
}

/**
 * Opens the weights: one file, or the shards of an index. Hugging Face's name goes first, unless the config is OpenCLIP's.
 *
 * @throws ClipError `invalid-source` if there are no weights
 */
export async function openWeights(source: Source, config: string | undefined): Promise<SourceFile[]> {
  const names = await source.list();
  const wanted = ["model.safetensors", "open_clip_model.safetensors"];
  if (config !== undefined && !isHuggingFace(config)) wanted.reverse();
  for (const name of wanted) {
    if (names === undefined || names.includes(name)) {
      const file = await source.open(name);
      if (file) return [file];
    }
    const indexName = `${name}.index.json`;
    const index = await source.text(indexName);
    if (index === undefined) continue;
    return Promise.all(
      shardNames(index, indexName).map(async (shard) => {
        const file = await source.open(shard);
        if (!file) throw missingFile(source, `shard ${shard}`, names);
        return file;
      }),
    );
  }
  const others = names?.filter((name) => name.endsWith(".safetensors") && isWeights(name)) ?? [];
  const only = others.length === 1 && others[0] !== undefined ? await source.open(others[0]) : undefined;
  if (only) return [only];
  throw missingFile(source, `${wanted[0]} or another .safetensors file`, names);
}

/** Reads the start of a safetensors file, up to the end of its header. */
export async function readHeader(file: SourceFile, wasm: EncodingWasm): Promise<Uint8Array> {
  const start = await readAll(file, 0, Math.min(file.size, HEADER_GUESS));
  checkSafetensors(file.name, start);
  const length = Math.min(file.size, wasm.Headers.length(start));
  if (length <= start.length) return start;
  const header = new Uint8Array(length);
  header.set(start);
  header.set(await readAll(file, start.length, length), start.length);
  return header;
}
