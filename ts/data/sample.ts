/** What readers of data sets have in common. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import type { ImageInput } from "../inputs/images.js";
import { oneOf, type Schema } from "../options/rules.js";
import { decodeText, ENCODING, type EncodingOptions } from "./decode-text.js";
import type { ImageTextPair } from "./pairs.js";

/** How captions are read. */
export interface CaptionOptions extends EncodingOptions {
  /**
   * What a caption file holds: one caption, or one on each line. With several, each epoch takes one of them, and each is
   * asked for in `evaluate`. @default "whole"
   */
  captions?: "whole" | "lines";
}

export const CAPTIONS = { ...ENCODING, captions: oneOf("whole", "lines") } satisfies Schema<CaptionOptions>;

const NOTICE =
  /^(readme|licen[cs]e|copying|copyright|notice|changelog|authors|credits|attribution|contributing|requirements)/i;

/** Whether a text file is named as what stands beside data sets, and is nobody's caption unless a picture has its name. */
export const isNotice = (path: string) => NOTICE.test(path.slice(path.lastIndexOf("/") + 1));

/** What is to be said of text that holds what is no character; nothing of other text. */
export function invalidCharacter(text: string): string | undefined {
  const [wrong] = /[\0\p{Surrogate}]/u.exec(text) ?? [];
  const code = wrong?.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0");
  return code && `expected text of characters, got one with U+${code}`;
}

/** A picture with its captions. */
export function sample(key: string, image: ImageInput, captions: readonly string[]): ImageTextPair {
  const [text, ...moreTexts] = captions.map((caption) => caption.trim()).filter((caption) => caption !== "");
  if (text === undefined) return badSample(key, "expected a caption, got none");
  const wrong = captions.map(invalidCharacter).find((problem) => problem !== undefined);
  if (wrong !== undefined) return badSample(key, `its caption: ${wrong}`);
  return { key, image, text, ...(moreTexts.length > 0 && { moreTexts }) };
}

/** A picture with the captions in a text file's bytes. */
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
    return badSample(key, `its caption: ${toClipError(error).message}`);
  }
  return sample(key, image, captions === "lines" ? text.split(/\r\n?|\n/) : [text]);
}

/** A sample that is no pair: it stops a run, or is left out, as the run says. */
export function badSample(key: string, message: string): ImageTextPair {
  return { key, image: new Uint8Array(), text: "", error: new ClipError("invalid-dataset", message) };
}
