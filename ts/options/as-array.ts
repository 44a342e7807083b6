/** One or many as many. */

/** A copy of a list, or a list of one. Holes become `undefined`, which array methods do not skip. */
export function asArray<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? [...value] : [value as T];
}
