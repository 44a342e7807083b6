/** A checkpoint given file by file. */

import { sendable } from "#place";
import { type Bytes, isBlob, isBytes, toBytes } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { NamedFile, OwnTransform } from "../../workers/protocol/load.js";
import { checkOptions } from "../options/check.js";
import { describeValue } from "../options/describe.js";
import { isPlainObject, type RuleFor, required, type Schema, unchecked } from "../options/rules.js";

/** The files of a checkpoint. JSON can be given as text, as bytes or parsed. */
export interface CheckpointParts {
  /** One safetensors file, or its shards. */
  weights: Bytes | readonly Bytes[];
  /** `config.json`, `open_clip_config.json`, or a `ClipConfig`. @default the config in the weights' metadata */
  config?: string | object;
  /**
   * `processor_config.json`, `preprocessor_config.json`, or a `PreprocessConfig`; it overrides the transform in `config`.
   * @default the transform in `config`, or the publisher's
   */
  preprocess?: string | object;
  /** `tokenizer.json`. @default the tokenizer in the weights' metadata, or none */
  tokenizer?: string | object;
  /** `tokenizer_config.json`. @default none */
  tokenizerConfig?: string | object;
  /** `merges.txt`, in place of `tokenizer.json`. @default none */
  merges?: string | Bytes;
  /** `vocab.json` beside `merges`: it may have more tokens than the merges. @default none */
  vocab?: string | object;
  /** `special_tokens_map.json`. @default none */
  specialTokens?: string | object;
  /** `added_tokens.json`. @default none */
  addedTokens?: string | object;
}

/** Whether a value is bytes of a file: in memory, or a `Blob`. */
export const isFileBytes = (value: unknown): value is Bytes => isBytes(value) || isBlob(value);

const isText = (value: unknown) => typeof value === "string" || isFileBytes(value);
const JSON_FILE: RuleFor<string | object> = {
  expected: "JSON as text, as bytes or parsed",
  accepts: (value) => isText(value) || isPlainObject(value),
};
const PARTS = {
  weights: required(unchecked<CheckpointParts["weights"]>()),
  config: JSON_FILE,
  preprocess: JSON_FILE,
  tokenizer: JSON_FILE,
  tokenizerConfig: JSON_FILE,
  merges: { expected: "the text of a merges.txt, or its bytes", accepts: isText },
  vocab: JSON_FILE,
  specialTokens: JSON_FILE,
  addedTokens: JSON_FILE,
} satisfies Schema<CheckpointParts>;

const OWN_TRANSFORM: OwnTransform = "preprocess.json";

/** File name of each part. */
const NAMES = {
  config: "config.json",
  preprocess: OWN_TRANSFORM,
  tokenizer: "tokenizer.json",
  tokenizerConfig: "tokenizer_config.json",
  merges: "merges.txt",
  vocab: "vocab.json",
  specialTokens: "special_tokens_map.json",
  addedTokens: "added_tokens.json",
} satisfies Record<Exclude<keyof CheckpointParts, "weights">, string>;

/** Converts bytes of a file to what the worker takes. */
export const fileData = async (bytes: Bytes): Promise<Blob | Uint8Array> =>
  isBlob(bytes) ? sendable(bytes) : toBytes(bytes);

/** Converts text, bytes or parsed JSON to the contents of a file. */
export async function textData(name: string, value: string | object): Promise<Blob | Uint8Array> {
  if (typeof value === "string") return new Blob([value]);
  return isFileBytes(value) ? fileData(value) : new Blob([toJson(name, value)]);
}

/** @throws ClipError `invalid-option` for values that JSON cannot express, such as cycles */
export function toJson(name: string, value: object): string {
  try {
    return JSON.stringify(value);
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("invalid-option", `invalid option ${name}: cannot be written as JSON: ${message}`);
  }
}

/** Returns the files under their published names. */
export async function partFiles(parts: CheckpointParts): Promise<NamedFile[]> {
  const { weights, ...others } = checkOptions("a checkpoint", parts, PARTS);
  const list = Array.isArray(weights) ? (weights as readonly Bytes[]) : [weights as Bytes];
  const wrong = list.findIndex((bytes) => !isFileBytes(bytes));
  if (list.length === 0 || wrong !== -1) {
    throw new ClipError(
      "invalid-source",
      `expected safetensors bytes or a Blob of them, got ${describeValue(list[wrong])}`,
    );
  }
  const files: NamedFile[] = [];
  const shard = (i: number) => `model-${i + 1}-of-${list.length}.safetensors`;
  if (list.length === 1) files.push({ name: "model.safetensors", data: await fileData(list[0] as Bytes) });
  else {
    for (const [i, bytes] of list.entries()) files.push({ name: shard(i), data: await fileData(bytes) });
    const weight_map = Object.fromEntries(list.map((_, i) => [`shard ${i}`, shard(i)]));
    files.push({ name: "model.safetensors.index.json", data: await textData("weights", { weight_map }) });
  }
  for (const [part, name] of Object.entries(NAMES)) {
    const value = others[part as keyof typeof NAMES];
    if (value !== undefined) files.push({ name, data: await textData(name, value) });
  }
  return files;
}
