/** Addresses and paths of images, and the names that messages use for images. */

import { readsDisk } from "#place";
import { isFile, isUrl, tagOf } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { isAbsolute } from "./location.js";

/** First characters of base64-encoded files: PNG, JPEG, GIF, WebP, BMP, AVIF and HEIC, TIFF. */
const BASE64 = /^(iVBORw0KGgo|\/9j\/|R0lGOD|UklGR|Qk|AAAA[\w+/]{4}ZnR5c|SUkqA|TU0AK)[\w+/\s]{50,}={0,2}\s*$/;
/** Longest file name and path of any platform, in characters. */
const MAX_NAME = 255;
const MAX_PATH = 4096;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for them
const CONTROL = /[\0-\x1f]/;

/** @throws ClipError `invalid-image` for a string that cannot be a path or an address, such as base64 or a caption */
export function checkAddress(text: string): void {
  if (isAbsolute(text)) return;
  const path = readsDisk ? text : text.replace(/[?#].*$/s, "");
  const base64 = BASE64.test(text);
  const names = path.split(/[/\\]/);
  const fits = path !== "" && path.length <= MAX_PATH && names.every((name) => name.length <= MAX_NAME);
  if (fits && !base64 && !CONTROL.test(text)) return;
  const [what, advice] = base64 ? ["base64", '; put "data:image/png;base64," before it'] : ["text", ""];
  const given = `${what} of ${text.length} characters: ${JSON.stringify(excerpt(text))}`;
  throw new ClipError("invalid-image", `expected a path or an address, got ${given}${advice}`);
}

/** Returns the path, address or file name of an image, where it has one. */
export function keyOf(image: unknown): string | undefined {
  if (typeof image === "string") return image;
  if (isUrl(image)) return image.href;
  if (isFile(image)) return image.webkitRelativePath || image.name;
  if (tagOf(image) !== "HTMLImageElement") return undefined;
  const { currentSrc, src } = image as HTMLImageElement;
  return currentSrc || src || undefined;
}
