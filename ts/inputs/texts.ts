/** Texts in the forms that callers give them. */

import { asArray } from "../options/as-array.js";
import { check } from "../options/check.js";
import { strings, typedArray } from "../options/rules.js";

/** Tokenized texts. */
export interface TokenInput {
  /** Token ids, `[n, contextLength]`, row by row. */
  inputIds: Int32Array;
}

/** One or several texts, or texts that are already tokenized. */
export type TextsInput = string | readonly string[] | TokenInput;

export const IDS = typedArray<Int32Array>("Int32Array");

/** Whether texts are given as token ids. */
export function isTokenInput(value: unknown): value is TokenInput {
  return typeof value === "object" && value !== null && "inputIds" in value;
}

/**
 * Returns one or several texts as a list.
 *
 * @throws ClipError `invalid-option` for anything but strings
 */
export function toTexts(texts: string | readonly string[]): string[] {
  const list = asArray(texts);
  check("texts", list, strings);
  return [...list];
}
