/** What counts as a text. */

import { asArray } from "../options/describe.js";
import { check, strings, typed } from "../options/options.js";

/** Texts that are already token ids: `[n, contextLength]`, row by row. */
export interface TokenInput {
  inputIds: Int32Array;
}

export const IDS = typed<Int32Array>("Int32Array");

/** Whether a value is texts given as token ids. */
export function isTokenInput(value: unknown): value is TokenInput {
  return typeof value === "object" && value !== null && "inputIds" in value;
}

/** One or many texts as many; anything but strings is refused. */
export function toTexts(texts: string | readonly string[]): string[] {
  const list = asArray(texts);
  check("texts", list, strings);
  return [...list];
}
