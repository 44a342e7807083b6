/** Images that are named by text, and what messages call an image. */

import { isFile, isUrl, tagOf } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { isAbsolute } from "./location.js";

/** How files begin in base64: PNG, JPEG, GIF, WebP, BMP, AVIF and HEIC, TIFF. */
const BASE64 = /^(iVBORw0KGgo|\/9j\/|R0lGOD|UklGR|Qk|AAAA[\w+/]{4}ZnR5c|SUkqA|TU0AK)[\w+/\s]{50,}={0,2}\s*$/;
/** No platform has longer names. */
const MOST_IN_NAME = 255;
const MOST_IN_PATH = 4096;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\0-\x1f]/;

/** @throws ClipError `invalid-image` for text that can be no path and no address, such as base64 or a caption */
export function checkAddress(text: string): void {
  if (isAbsolute(text)) return;
  const path = typeof document === "undefined" ? text : text.replace(/[?#].*$/s, "");
  const base64 = BASE64.test(text);
  const names = path.split(/[/\\]/);
  const fits = path !== "" && path.length <= MOST_IN_PATH && names.every((name) => name.length <= MOST_IN_NAME);
  if (fits && !base64 && !CONTROL.test(text)) return;
  const [what, advice] = base64 ? ["base64", '; "data:image/png;base64," before it makes it an address'] : ["text", ""];
  const given = `${what} of ${text.length} characters: ${JSON.stringify(excerpt(text))}`;
  throw new ClipError("invalid-image", `expected a path or an address, got ${given}${advice}`);
}

/** Path, address or file's name of an image, where it has one. */
export function keyOf(image: unknown): string | undefined {
  if (typeof image === "string") return image;
  if (isUrl(image)) return image.href;
  if (isFile(image)) return image.webkitRelativePath || image.name;
  if (tagOf(image) !== "HTMLImageElement") return undefined;
  const { currentSrc, src } = image as HTMLImageElement;
  return currentSrc || src || undefined;
}
