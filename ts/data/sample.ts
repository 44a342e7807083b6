/** Makes pairs of images and captions, for all dataset readers. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { oneOf, type Schema } from "../options/rules.js";
import { decodeText, ENCODING, type EncodingOptions } from "./decode-text.js";
import type { ImageTextPair } from "./pairs.js";

/** How captions are read. */
export interface CaptionOptions extends EncodingOptions {
  /**
   * Whether a caption file has one caption (`"whole"`) or one on each line (`"lines"`). Of several captions, each epoch uses one, and
   * `evaluate` uses all as queries. @default "whole"
   */
  captions?: "whole" | "lines";
}

export const CAPTIONS = { ...ENCODING, captions: oneOf("whole", "lines") } satisfies Schema<CaptionOptions>;

const NOTICE =
  /^(readme|licen[cs]e|copying|copyright|notice|changelog|authors|credits|attribution|contributing|requirements)/i;

/** Whether a text file is named like a README or a licence: it is a caption only of an image of the same name. */
export const isNotice = (path: string) => NOTICE.test(path.slice(path.lastIndexOf("/") + 1));

/** Returns a message where text contains NUL or a lone surrogate. */
export function invalidCharacter(text: string): string | undefined {
  const [invalid] = /[\0\p{Surrogate}]/u.exec(text) ?? [];
  const code = invalid?.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
  return code && `invalid character U+${code} in the text`;
}

/** Makes a pair of an image and its captions. */
export function sample(key: string, image: ImageInput, captions: readonly string[]): ImageTextPair {
  const [text, ...moreTexts] = captions.map((caption) => caption.trim()).filter((caption) => caption !== "");
  if (text === undefined) return badSample(key, "the caption is empty");
  const wrong = captions.map(invalidCharacter).find((problem) => problem !== undefined);
  if (wrong !== undefined) return badSample(key, `caption: ${wrong}`);
  return { key, image, text, ...(moreTexts.length > 0 && { moreTexts }) };
}

/** Makes a pair of an image and a caption file. */
export function sampleOfText(
  key: string,
  image: ImageInput,
  bytes: Uint8Array,
  { captions, encoding }: CaptionOptions,
): ImageTextPair {
  let text: string;
  try {
    text = decodeText(bytes, encoding);
  } catch (error) {
    return badSample(key, `caption: ${toClipError(error).message}`);
  }
  return sample(key, image, captions === "lines" ? text.split(/\r\n?|\n/) : [text]);
}

/** Makes a pair with an error: `fit` throws it or skips the pair. */
export function badSample(key: string, message: string): ImageTextPair {
  return { key, image: new Uint8Array(), text: "", error: new ClipError("invalid-dataset", message) };
}
