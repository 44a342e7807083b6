/** Lists from one value or several. */

/** Copies a list, or makes a list of one value. Holes become `undefined`, which array methods do not skip. */
export function asArray<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? [...value] : [value as T];
}
