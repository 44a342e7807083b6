/** What readers of data sets have in common. */

import { ClipError } from "../../workers/error.js";
import type { ImageInput } from "../images.js";
import { invalidOption } from "../invalid-option.js";
import type { ImageTextPair } from "./pairs.js";

/** How captions are read. */
export interface CaptionOptions {
  /**
   * What a caption file holds: one caption, or one on each line. With several, each epoch takes one of them, and each is
   * asked for in `evaluate`. @default "whole"
   */
  captions?: "whole" | "lines";
}

const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set(["png", "jpg", "jpeg", "webp", "gif", "bmp"]);

/** Whether a file of that extension, in lower case, is a picture. */
export const isImage = (extension: string) => IMAGE_EXTENSIONS.has(extension);

/** The captions in a file's text; none in an empty one. */
export function readCaptions(text: string, { captions = "whole" }: CaptionOptions): string[] {
  if (!["whole", "lines"].includes(captions)) throw invalidOption("captions", "whole or lines", captions);
  const parts = captions === "whole" ? [text] : text.split("\n");
  return parts.map((part) => part.trim()).filter((part) => part !== "");
}

/** A picture with its captions. */
export function sample(key: string, image: ImageInput, captions: readonly string[]): ImageTextPair {
  const [text, ...moreTexts] = captions;
  if (text === undefined) return badSample(key, "expected a caption, got none");
  return { key, image, text, ...(moreTexts.length > 0 && { moreTexts }) };
}

/** A sample that is no pair: it stops a run, or is left out, as the run says. */
export function badSample(key: string, message: string): ImageTextPair {
  return { key, image: new Uint8Array(), text: "", error: new ClipError("invalid-dataset", message) };
}
