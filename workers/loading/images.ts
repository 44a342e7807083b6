/** Turns the images that callers pass into bytes or pixels for the core. */

import { splitUser } from "../protocol/address.js";
import { isBlob, readBlob } from "../protocol/bytes.js";
import type { WireImage } from "../protocol/encode.js";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import { readBody, TooLong } from "./sources/read-body.js";

/** Bytes of the largest image that is downloaded; a server may send without end. */
const MAX_BYTES = 256 << 20;

/** An image in memory: a file for the core to decode, or pixels of 3 or 4 bytes. */
export type LoadedImage = { encoded: Uint8Array } | { data: Uint8Array; width: number; height: number };

/**
 * Fetches, reads or draws an image.
 *
 * @param readPath reads a file on disk; only Node has it
 * @throws ClipError `source-unreadable`, `invalid-image`, or the error that the image carries
 */
export async function loadImage(
  image: WireImage,
  readPath: ((path: string) => Promise<Uint8Array>) | undefined,
): Promise<LoadedImage> {
  if ("failed" in image) throw new ClipError(image.failed.code, image.failed.message);
  if ("encoded" in image) {
    const { encoded } = image;
    return decodeIfForeign(isBlob(encoded) ? await readFile(encoded) : encoded);
  }
  if ("url" in image) return decodeIfForeign(await fetchImage(image.url));
  if ("bitmap" in image) return draw(image.bitmap);
  if ("path" in image) {
    if (!readPath) {
      throw new ClipError(
        "invalid-image",
        `cannot read the path ${excerpt(image.path)} in a browser: give an address, a file or bytes`,
      );
    }
    return decodeIfForeign(await readPath(image.path));
  }
  return image;
}

/** Signatures, with their offsets, of formats that only browsers decode: AVIF and HEIC, JPEG XL (two), TIFF (two). */
const FOREIGN = [
  [4, "ftyp"],
  [4, "JXL "],
  [0, "\xff\n"],
  [0, "II*\0"],
  [0, "MM\0*"],
] as const;

/** Has the browser decode what the core cannot. If neither can, the core's error names the format. */
async function decodeIfForeign(encoded: Uint8Array): Promise<LoadedImage> {
  const start = String.fromCharCode(...encoded.subarray(0, 8));
  const isForeign = FOREIGN.some(([at, signature]) => start.startsWith(signature, at));
  if (!isForeign || typeof createImageBitmap !== "function") return { encoded };
  const blob = new Blob([encoded.slice()]);
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none" }).catch(() => undefined);
  return bitmap ? draw(bitmap) : { encoded };
}

async function readFile(blob: Blob): Promise<Uint8Array> {
  try {
    return await readBlob(blob);
  } catch (error) {
    // the file was moved or changed after it was picked
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `cannot read the file: ${message}`, { cause: error });
  }
}

async function fetchImage(url: string): Promise<Uint8Array> {
  const unreadable = (reason: string, cause?: unknown) =>
    new ClipError("source-unreadable", `${excerpt(url)}: cannot fetch the image: ${reason}`, { cause });
  const { address, headers } = splitUser(url);
  const response = await fetch(address, { headers }).catch((error: Error) => {
    throw unreadable(excerpt(error.message), error);
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw unreadable(`HTTP ${response.status}`);
  }
  return readBody(response, MAX_BYTES).catch((error: Error) => {
    const problem = error instanceof TooLong ? "" : "the transfer broke off: ";
    throw unreadable(problem + excerpt(error.message), error);
  });
}

/** Reads the pixels of a bitmap at its own size, and closes it. */
function draw(bitmap: ImageBitmap): LoadedImage {
  const { width, height } = bitmap;
  if (width === 0 || height === 0) throw new ClipError("invalid-image", "the ImageBitmap is closed: pass an open one");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new ClipError("invalid-image", `cannot draw an image of ${width}×${height} pixels: too large?`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.buffer), width, height };
}
