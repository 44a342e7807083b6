/** Metadata of rows, as objects in JSON and as the columns of a table. */

import type { JsonValue, Metadata } from "../../workers/protocol/index-data.js";

/** Most columns; metadata with more keys becomes one column. */
const MAX_COLUMNS = 1000;

/** Types of columns, by Parquet's names; what has no type in common is written as JSON. */
export type ColumnType = "BOOLEAN" | "INT64" | "DOUBLE" | "STRING" | "JSON";

/** A column of a table. */
interface Column {
  name: string;
  type: ColumnType;
  /** Value of a row, as it is written; `undefined` for none. */
  value(metadata: Metadata): bigint | number | string | boolean | undefined;
}

/** How metadata become columns. */
export interface ColumnPlan {
  /** Column of the ids. */
  id: string;
  /** Column of the metadata as a whole, in JSON, where they have too many keys. */
  whole?: string;
  columns: readonly Column[];
}

/** UTF-8 has no half of a surrogate pair; JSON escapes it. */
const LONE_SURROGATE = /\p{Surrogate}/u;

function typeOf(value: JsonValue): ColumnType {
  if (typeof value === "boolean") return "BOOLEAN";
  if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0) ? "INT64" : "DOUBLE";
  return typeof value === "string" && !LONE_SURROGATE.test(value) ? "STRING" : "JSON";
}

const isNumber = (type: ColumnType) => type === "INT64" || type === "DOUBLE";

/** Type that has the values of both. */
function common(one: ColumnType, other: ColumnType): ColumnType {
  if (one === other) return one;
  return isNumber(one) && isNumber(other) ? "DOUBLE" : "JSON";
}

const written = (value: JsonValue, type: ColumnType) => {
  if (type === "JSON") return JSON.stringify(value);
  return type === "INT64" ? BigInt(value as number) : (value as number | string | boolean);
};

/** Returns the first of the names that is no key. */
function freeName(keys: ReadonlySet<string>, names: readonly [string, ...string[]]): string {
  let name: string | undefined = names.find((name) => !keys.has(name));
  for (let i = 2; name === undefined; i++) if (!keys.has(`${names[0]}_${i}`)) name = `${names[0]}_${i}`;
  return name;
}

/**
 * Reads all metadata and decides which columns hold them.
 *
 * @param names - of the column of the ids, the best first: one that no row has as a key
 */
export async function planColumns(
  all: AsyncIterable<Metadata | undefined>,
  ...names: [string, ...string[]]
): Promise<ColumnPlan> {
  const types = new Map<string, ColumnType>();
  for await (const metadata of all) {
    for (const [key, value] of Object.entries(metadata ?? {})) {
      const [type, known] = [typeOf(value), types.get(key)];
      types.set(key, known === undefined ? type : common(known, type));
    }
  }
  if (types.size > MAX_COLUMNS) {
    const value = (metadata: Metadata) => JSON.stringify(metadata);
    return { id: names[0], whole: "metadata", columns: [{ name: "metadata", type: "JSON", value }] };
  }
  const columns = [...types].map(([name, type]): Column => {
    const value = (metadata: Metadata) =>
      Object.hasOwn(metadata, name) ? written(metadata[name] as JsonValue, type) : undefined;
    return { name, type, value };
  });
  return { id: freeName(new Set(types.keys()), names), columns };
}

/** Puts values together that are there, by their columns; `undefined` if there is none. */
export function metadataOf(
  columns: readonly string[],
  values: readonly (JsonValue | undefined)[],
): Metadata | undefined {
  const entries = columns.map((name, i) => [name, values[i]] as const);
  const there = entries.filter((entry): entry is readonly [string, JsonValue] => entry[1] !== undefined);
  return there.length === 0 ? undefined : Object.fromEntries(there);
}
