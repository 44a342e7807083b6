/** Values in messages, and one or many as many. */

/** Type of a value, for messages. */
export function describe(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return value.constructor?.name ?? "an object";
}

/** One or many as many; what is missing in a list is `undefined` there, where methods would pass it over. */
export function asArray<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? [...value] : [value as T];
}
