/** What counts as a text. */

import { asArray, describe } from "./describe.js";
import { invalidOption } from "./invalid-option.js";

/** Texts that are already token ids: `[n, contextLength]`, row by row. */
export interface TokenInput {
  inputIds: Int32Array;
}

/** Whether a value is texts given as token ids. */
export function isTokenInput(value: unknown): value is TokenInput {
  return typeof value === "object" && value !== null && "inputIds" in value;
}

/** One or many texts as many; anything but strings is refused. */
export function toTexts(texts: string | readonly string[]): string[] {
  const list = [...asArray(texts)];
  const wrong = list.findIndex((text) => typeof text !== "string");
  if (wrong !== -1) {
    throw invalidOption("texts", "strings", `${describe(list[wrong])} at ${wrong}`);
  }
  return list;
}
