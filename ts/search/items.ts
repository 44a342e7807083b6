/** Items as callers give them. */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { WireItems } from "../../workers/protocol/index-api.js";
import type { Metadata } from "../../workers/protocol/index-data.js";
import { checkEmbeddings, type Embeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { asArray } from "../options/as-array.js";
import { checkCount } from "../options/check.js";
import { describeType } from "../options/describe.js";
import { invalidOption } from "../options/invalid-option.js";
import { toJson } from "./json.js";
import type { EmbeddingModel } from "./model.js";

/** An item: its vector, or what the index's model makes one of. */
export interface IndexItem {
  /** Any text that is not empty, unique in the index. */
  id: string;
  /** Of any length but zero: it is normalised. */
  vector?: Float32Array | readonly number[];
  /** Embedded by the index's model, as `text` is. */
  image?: ImageInput;
  /** Embedded by the index's model. */
  text?: string;
  /** Anything that JSON expresses. @default none */
  metadata?: Metadata;
}

/** What changes of an item; the rest stays. */
export interface ItemUpdate extends Omit<IndexItem, "metadata"> {
  /** `null` removes them. @default as they are */
  metadata?: Metadata | null;
}

/** Items by their parts, as `encodeImage` returns vectors. */
export interface ItemBatch {
  /** One for each row. */
  ids: readonly string[];
  /** A row for each id. */
  embeddings: Embeddings;
  /** One for each id, if any; `null` for none. */
  metadata?: readonly (Metadata | null | undefined)[];
}

/** One or several items. */
export type Items = IndexItem | readonly IndexItem[] | ItemBatch;

/** @throws ClipError `invalid-option`, `duplicate-id` */
export function checkIds(ids: readonly string[]): void {
  const seen = new Set<string>();
  for (const [i, id] of ids.entries()) {
    if (typeof id !== "string" || id === "" || /[\0\p{Cs}]/u.test(id))
      throw invalidOption(
        `id ${i}`,
        "a text that is not empty, in well-formed Unicode without U+0000",
        typeof id === "string" ? JSON.stringify(excerpt(id)) : describeType(id),
      );
    if (seen.has(id))
      throw new ClipError("duplicate-id", `the id ${JSON.stringify(excerpt(id))} occurs twice in one call`);
    seen.add(id);
  }
}

const isBatch = (items: unknown): items is ItemBatch =>
  typeof items === "object" && items !== null && "embeddings" in items;

const SOURCES = ["vector", "image", "text"] as const;
const FIELDS: readonly string[] = ["id", ...SOURCES, "metadata"];

/** Checks the shape of an item; returns what its vector comes from. */
function sourceOf(item: ItemUpdate, isUpdate: boolean): (typeof SOURCES)[number] | undefined {
  const name = JSON.stringify(excerpt(item.id));
  const other = Object.keys(item).find((field) => !FIELDS.includes(field));
  if (other)
    throw new ClipError(
      "invalid-option",
      `item ${name}: unknown field ${excerpt(other)}: an item has ${FIELDS.join(", ")}; others belong into metadata`,
    );
  const given = SOURCES.filter((source) => item[source] !== undefined);
  if (given.length === 1 || (isUpdate && given.length === 0)) return given[0];
  throw new ClipError(
    "invalid-option",
    `item ${name}: expected one of vector, image and text, got ${given.join(" and ") || "none"}`,
  );
}

/** Copies a vector; whether it has a direction is checked where it is normalised. */
export function vectorOf(value: Float32Array | readonly number[], dimension: number, name: string): Float32Array {
  const isList = ArrayBuffer.isView(value) || Array.isArray(value);
  if (!isList || (value.length > 0 && typeof value[0] !== "number"))
    throw invalidOption(name, "a Float32Array or numbers", describeType(value));
  if (value.length !== dimension)
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: ${name}: expected ${dimension} numbers, as the index has them, got ${value.length}`,
    );
  return Float32Array.from(value);
}

/** Encodes what items are made of, all images at once and all texts. */
async function encodeItems(
  items: readonly ItemUpdate[],
  sources: (string | undefined)[],
  model: EmbeddingModel | undefined,
  dimension: number,
): Promise<Float32Array> {
  const vectors = new Float32Array(items.length * dimension);
  const put = (i: number, vector: Float32Array | readonly number[]) =>
    vectors.set(
      vectorOf(vector, dimension, `the vector of item ${JSON.stringify(excerpt(items[i]?.id ?? ""))}`),
      i * dimension,
    );
  const encode = async <T>(
    source: string,
    values: (item: ItemUpdate) => T,
    embed: ((values: T[]) => Promise<Pick<Embeddings, "data" | "shape">>) | undefined,
  ) => {
    const indices = [...items.keys()].filter((i) => sources[i] === source);
    if (indices.length === 0) return;
    if (!embed)
      throw new ClipError(
        "invalid-option",
        `the index was opened without a model for an item's ${source}: pass { model } to VectorIndex.open(), or vectors`,
      );
    const { data, shape } = await embed(indices.map((i) => values(items[i] as ItemUpdate)));
    for (const [at, i] of indices.entries()) put(i, data.subarray(at * shape[1], (at + 1) * shape[1]));
  };
  await encode("image", ({ image }) => image as ImageInput, model?.encodeImage?.bind(model));
  await encode("text", ({ text }) => text as string, model?.encodeText?.bind(model));
  for (const [i, { vector }] of items.entries()) if (sources[i] === "vector") put(i, vector as Float32Array);
  return vectors;
}

function fromBatch({ ids, embeddings, metadata }: ItemBatch, mode: WireItems["mode"], dimension: number): WireItems {
  if (!Array.isArray(ids)) throw invalidOption("ids", "a list of texts", describeType(ids));
  checkIds(ids);
  checkEmbeddings("embeddings", embeddings);
  const [rows, columns] = embeddings.shape;
  checkCount("ids", ids.length, "embeddings", rows);
  if (metadata) checkCount("metadata", metadata.length, "embeddings", rows);
  if (columns !== dimension)
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: embeddings: expected [n, ${dimension}], as the index has them, got [${embeddings.shape.join(", ")}]`,
    );
  return {
    mode,
    ids: [...ids],
    // a copy: it is moved to the worker
    vectors: embeddings.data.slice(),
    ...(metadata && { metadata: metadata.map((one, i) => one && toJson(one, ids[i] as string)) }),
  };
}

/** Converts items to what the worker takes. Updates without vectors and those with them are written apart. */
export async function toWireItems(
  items: Items | ItemUpdate | readonly ItemUpdate[],
  mode: WireItems["mode"],
  model: EmbeddingModel | undefined,
  dimension: number,
): Promise<WireItems> {
  if (isBatch(items)) return fromBatch(items, mode, dimension);
  const list = asArray(items as ItemUpdate | readonly ItemUpdate[]);
  const strange = list.find((item) => typeof item !== "object" || item === null);
  if (strange !== undefined)
    throw invalidOption("items", "items with an id and a vector, an image or a text", describeType(strange));
  const ids = list.map(({ id }) => id);
  checkIds(ids);
  const sources = list.map((item) => sourceOf(item, mode === "update"));
  const withVectors = sources.filter((source) => source !== undefined).length;
  if (withVectors > 0 && withVectors < list.length)
    throw new ClipError("invalid-option", "update items with new vectors and those without in two calls");
  const json = list.map(({ id, metadata }) => (metadata ? toJson(metadata, id) : metadata));
  return {
    mode,
    ids,
    ...(withVectors > 0 && { vectors: await encodeItems(list, sources, model, dimension) }),
    ...(json.some((one) => one !== undefined) && { metadata: json }),
  };
}
