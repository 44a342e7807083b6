/** How messages name a value. */

import { excerpt } from "../../workers/protocol/excerpt.js";

/** Type of a value: a primitive's, or the name of its class. */
export function describeType(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return value.constructor?.name ?? "an object";
}

/** A value itself where it is short, its type otherwise. */
export function describeValue(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(excerpt(value));
  if (typeof value === "bigint") return `the bigint ${excerpt(String(value))}`;
  if (Array.isArray(value)) {
    return value.length <= 4 && value.every((one) => typeof one === "number") ? `[${value.join(", ")}]` : "an array";
  }
  return value === null || ["object", "function", "symbol"].includes(typeof value)
    ? describeType(value)
    : String(value);
}
