/** What is searched for, as one vector. */

import { ClipError } from "../../workers/protocol/error.js";
import { checkEmbeddings, type Embeddings, isEmbeddings } from "../encode/embeddings.js";
import type { ImageInput } from "../inputs/images.js";
import { describeType } from "../options/describe.js";
import { invalidOption } from "../options/invalid-option.js";
import { vectorOf } from "./items.js";
import type { EmbeddingModel } from "./model.js";

/** A text to search by. */
export interface TextQuery {
  /** Embedded by the index's model. */
  text: string;
}

/** An image to search by. */
export interface ImageQuery {
  /** Embedded by the index's model. */
  image: ImageInput;
}

/** An item of the index, to find more like it; it comes first itself. */
export interface ItemQuery {
  /** Its id. */
  id: string;
}

/** A text, a vector, an image, or an item of the index ("more like this"). */
export type SingleQuery = string | Float32Array | readonly number[] | Embeddings | TextQuery | ImageQuery | ItemQuery;

/**
 * Queries that are added and subtracted: the sum of their unit vectors, as rclip has it.
 *
 * @example
 * { add: ["beach", { image: photo }], subtract: "people" }
 */
export interface Arithmetic {
  /** What is wanted. */
  add: SingleQuery | readonly SingleQuery[];
  /** What is not. @default nothing */
  subtract?: SingleQuery | readonly SingleQuery[];
}

/** What is searched for. */
export type Query = SingleQuery | Arithmetic;

/** What queries are made vectors by. */
export interface QueryContext {
  model: EmbeddingModel | undefined;
  dimension: number;
  /** Unit vector of an item. */
  vectorOfItem(id: string): Promise<Float32Array>;
}

const isNumbers = (value: unknown): value is Float32Array | readonly number[] =>
  ArrayBuffer.isView(value) || (Array.isArray(value) && value.every((one) => typeof one === "number"));

async function embed(
  what: "text" | "image",
  encode: (() => Promise<Pick<Embeddings, "data">>) | undefined,
): Promise<Float32Array> {
  if (encode) return (await encode()).data;
  throw new ClipError(
    "invalid-option",
    `the index was opened without a model for a ${what}: pass { model } to VectorIndex.open(), or search by a vector`,
  );
}

async function toVector(query: SingleQuery, { model, dimension, vectorOfItem }: QueryContext): Promise<Float32Array> {
  const checked = (vector: Float32Array | readonly number[]) => vectorOf(vector, dimension, "the query");
  const byText = async (text: string) =>
    checked(await embed("text", model?.encodeText && (() => (model as Required<EmbeddingModel>).encodeText([text]))));
  if (typeof query === "string") return byText(query);
  if (isNumbers(query)) return checked(query);
  if (isEmbeddings(query)) {
    checkEmbeddings("the query", query);
    if (query.shape[0] === 1) return checked(query.data);
    throw new ClipError(
      "shape-mismatch",
      `shape mismatch: the query: expected one row, got ${query.shape[0]}: use searchMany()`,
    );
  }
  const given = Object(query) as { text?: unknown; image?: unknown; id?: unknown };
  const keys = Object.keys(given);
  if (keys.length === 1 && typeof given.text === "string") return byText(given.text);
  if (keys.length === 1 && typeof given.id === "string") return vectorOfItem(given.id);
  if (keys.length === 1 && given.image !== undefined)
    return checked(
      await embed(
        "image",
        model?.encodeImage && (() => (model as Required<EmbeddingModel>).encodeImage([given.image as ImageInput])),
      ),
    );
  throw invalidOption(
    "query",
    "a text, a vector, { text }, { image }, { id }, or { add, subtract } of those",
    describeType(query),
  );
}

const isArithmetic = (query: unknown): query is Arithmetic =>
  typeof query === "object" && query !== null && "add" in query;

/** One query, which may be a list of numbers, or several. */
function listOf(queries: SingleQuery | readonly SingleQuery[]): readonly SingleQuery[] {
  const isOne = !Array.isArray(queries) || (queries.length > 0 && isNumbers(queries));
  return isOne ? [queries as SingleQuery] : (queries as readonly SingleQuery[]);
}

/**
 * Returns the vector of a query.
 *
 * @throws ClipError `invalid-option`, `shape-mismatch`, `invalid-vector`, `unknown-id`, and what the model throws
 */
export async function queryVector(query: Query, context: QueryContext): Promise<Float32Array> {
  if (!isArithmetic(query)) return toVector(query, context);
  const parts = [
    ...listOf(query.add).map((part) => [1, part] as const),
    ...listOf(query.subtract ?? []).map((part) => [-1, part] as const),
  ];
  if (parts.length === 0) throw invalidOption("query.add", "one or more queries", "none");
  const vectors = await Promise.all(parts.map(async ([sign, part]) => [sign, await toVector(part, context)] as const));
  const sum = new Float32Array(context.dimension);
  for (const [sign, vector] of vectors) {
    const scale = sign / Math.hypot(...vector);
    for (const [i, x] of vector.entries()) sum[i] = (sum[i] ?? 0) + scale * x;
  }
  return vectorOf(sum, context.dimension, "the sum of the query's parts");
}
