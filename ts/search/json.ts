/** Metadata as JSON: what JSON cannot express is refused, not changed. */

import { ClipError } from "../../workers/protocol/error.js";
import type { Metadata } from "../../workers/protocol/index-data.js";
import { describeType } from "../options/describe.js";
import { isPlainObject } from "../options/rules.js";

const MAX_DEPTH = 100;

/** Returns the path of the first value that JSON does not express, and what it is. */
function firstOther(value: unknown, path: string, depth: number): string | undefined {
  if (value === null || typeof value === "string" || typeof value === "boolean") return undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : `${path} is ${value}`;
  if (depth > MAX_DEPTH) return `${path} is nested more than ${MAX_DEPTH} deep`;
  const isList = Array.isArray(value);
  if (!isList && !isPlainObject(value))
    return `${path} is ${value === undefined ? "undefined" : `a ${describeType(value)}`}`;
  for (const [key, inner] of Object.entries(value as object)) {
    // a field without a value is none, as JSON.stringify has it
    if (inner === undefined && !isList) continue;
    const other = firstOther(inner, isList ? `${path}[${key}]` : `${path}.${key}`, depth + 1);
    if (other) return other;
  }
  return undefined;
}

/** @throws ClipError `invalid-option` */
export function toJson(metadata: Metadata, id: string): string {
  const other = isPlainObject(metadata) ? firstOther(metadata, "metadata", 0) : `metadata is no object`;
  if (other === undefined) return JSON.stringify(metadata);
  throw new ClipError(
    "invalid-option",
    `item ${JSON.stringify(id)}: ${other}: use what JSON has: strings, finite numbers, booleans, null, lists and objects (a date as toISOString())`,
  );
}
