/** Filters on metadata: one meaning for each store. SQLite runs them as SQL (`filter-sql.ts`), others on the parsed metadata. */

import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import type { FilterValue, JsonValue, Metadata } from "../protocol/index-data.js";

/** How a field is compared. */
type Comparison = "$gt" | "$gte" | "$lt" | "$lte";

/** A filter, checked and taken apart. */
export type Test =
  | { all: Test[] }
  | { any: Test[] }
  | { not: Test }
  | { path: string[]; in: readonly FilterValue[] }
  | { path: string[]; compare: Comparison; to: number | string }
  | { path: string[]; exists: boolean };

const COMPARISONS: readonly string[] = ["$gt", "$gte", "$lt", "$lte"] satisfies Comparison[];
const OPERATORS = ["$eq", "$ne", "$in", ...COMPARISONS, "$exists"];
const JUNCTIONS = ["$and", "$or", "$not"];

const refused = (reason: string) => new ClipError("invalid-option", `invalid filter: ${reason}`);

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

const isValue = (value: unknown): value is FilterValue =>
  value === null || typeof value === "string" || typeof value === "boolean" || isNumber(value);

const VALUES = "a string, a finite number, a boolean or null";

/** Splits a field's path. Databases have no way to write these characters in a path. */
function pathOf(field: string): string[] {
  const path = field.split(".");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (path.includes("") || /["\\\u0000-\u001f]/.test(field))
    throw refused(`the field ${excerpt(field)} has an empty name, a quote, a backslash or a control character`);
  return path;
}

function parseOperator(field: string, operator: string, value: unknown): Test {
  const path = pathOf(field);
  const wrong = (expected: string) => refused(`${excerpt(field)}: ${operator} takes ${expected}`);
  if (operator === "$eq" || operator === "$ne") {
    if (!isValue(value)) throw wrong(VALUES);
    const equal: Test = { path, in: [value] };
    return operator === "$eq" ? equal : { not: equal };
  }
  if (operator === "$in") {
    if (!Array.isArray(value) || !value.every(isValue)) throw wrong(`a list, each element ${VALUES}`);
    return { path, in: value };
  }
  if (operator === "$exists") {
    if (typeof value !== "boolean") throw wrong("true or false");
    return { path, exists: value };
  }
  if (COMPARISONS.includes(operator)) {
    if (!isNumber(value) && typeof value !== "string") throw wrong("a finite number or a string");
    return { path, compare: operator as Comparison, to: value };
  }
  throw refused(`${excerpt(field)}: ${excerpt(operator)} is no operator: use ${OPERATORS.join(", ")}`);
}

function parseField(field: string, condition: unknown): Test {
  if (!isObject(condition)) return parseOperator(field, "$eq", condition);
  const operators = Object.entries(condition).filter(([, value]) => value !== undefined);
  if (operators.length === 0) throw refused(`${excerpt(field)} has no condition`);
  return { all: operators.map(([operator, value]) => parseOperator(field, operator, value)) };
}

function parseList(junction: string, value: unknown): Test[] {
  if (!Array.isArray(value)) throw refused(`${junction} takes a list of filters`);
  return value.map(parseFilter);
}

/**
 * Checks a filter and takes it apart.
 *
 * @throws ClipError `invalid-option`
 */
export function parseFilter(filter: unknown): Test {
  if (!isObject(filter)) throw refused('pass an object, such as { album: "holidays" }');
  const parts = Object.entries(filter).filter(([, condition]) => condition !== undefined);
  const tests = parts.map(([key, value]): Test => {
    if (key === "$and") return { all: parseList(key, value) };
    if (key === "$or") return { any: parseList(key, value) };
    if (key === "$not") return { not: parseFilter(value) };
    if (key.startsWith("$"))
      throw refused(`${excerpt(key)} is no operator here: use a field, or ${JUNCTIONS.join(", ")}`);
    return parseField(key, value);
  });
  return { all: tests };
}

/** The value of a field; `undefined` if it is missing. */
function fieldOf(metadata: Metadata | undefined, path: string[]): JsonValue | undefined {
  let value: JsonValue | undefined = metadata;
  for (const name of path)
    value = isObject(value) && Object.hasOwn(value, name) ? (value[name] as JsonValue) : undefined;
  return value;
}

/** Compares strings by code points, as SQLite does: JavaScript's own order puts some of them elsewhere. */
function isBefore(a: string, b: string): boolean {
  const [left, right] = [[...a], [...b]];
  for (const [i, char] of left.entries()) {
    const other = right[i];
    if (other === undefined) return false;
    if (char !== other) return (char.codePointAt(0) ?? 0) < (other.codePointAt(0) ?? 0);
  }
  return left.length < right.length;
}

function compares(value: JsonValue, compare: Comparison, to: number | string): boolean {
  const isLess =
    typeof value === "number" && typeof to === "number"
      ? value < to
      : typeof value === "string" && typeof to === "string"
        ? isBefore(value, to)
        : undefined;
  if (isLess === undefined) return false;
  if (value === to) return compare === "$gte" || compare === "$lte";
  return isLess ? compare === "$lt" || compare === "$lte" : compare === "$gt" || compare === "$gte";
}

/** Whether metadata meet a filter. */
export function matches(test: Test, metadata: Metadata | undefined): boolean {
  if ("all" in test) return test.all.every((part) => matches(part, metadata));
  if ("any" in test) return test.any.some((part) => matches(part, metadata));
  if ("not" in test) return !matches(test.not, metadata);
  const value = fieldOf(metadata, test.path);
  if ("exists" in test) return (value !== undefined) === test.exists;
  if (value === undefined) return false;
  const elements = Array.isArray(value) ? value : [value];
  if ("in" in test) return elements.some((element) => test.in.some((wanted) => wanted === element));
  return elements.some((element) => compares(element, test.compare, test.to));
}
