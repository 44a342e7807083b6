/** Images as they arrive in the worker, to bytes that the core decodes or pixels that it takes. */

import { isBlob } from "../protocol/bytes.js";
import type { WireImage } from "../protocol/encode.js";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";

/** No photograph is larger; a stream without end would fill the memory. */
const MOST_BYTES = 256 << 20;

/** An image that the core takes. */
export type ReadyImage = { encoded: Uint8Array } | { data: Uint8Array; width: number; height: number };

/** Fetches, reads or draws what is not in memory yet. */
export async function readImage(
  image: WireImage,
  readPath: ((path: string) => Promise<Uint8Array>) | undefined,
): Promise<ReadyImage> {
  if ("failed" in image) throw new ClipError(image.failed.code, image.failed.message);
  if ("encoded" in image) {
    const { encoded } = image;
    return decodable(isBlob(encoded) ? await readBlob(encoded) : encoded);
  }
  if ("url" in image) return decodable(await fetchImage(image.url));
  if ("bitmap" in image) return drawn(image.bitmap);
  if ("path" in image) {
    if (!readPath) throw new ClipError("invalid-image", `expected an address, got the path ${excerpt(image.path)}`);
    return decodable(await readPath(image.path));
  }
  return image;
}

/** Where what some browsers decode and the core does not has its mark: AVIF and HEIC, JPEG XL (two kinds), TIFF (two kinds). */
const PLATFORMS_OWN = [
  [4, "ftyp"],
  [4, "JXL "],
  [0, "\xff\n"],
  [0, "II*\0"],
  [0, "MM\0*"],
] as const;

/** Bytes for the core, or pixels where only the platform knows the format; where that does not either, the core names it. */
async function decodable(encoded: Uint8Array): Promise<ReadyImage> {
  const start = String.fromCharCode(...encoded.subarray(0, 8));
  const foreign = PLATFORMS_OWN.some(([at, mark]) => start.startsWith(mark, at));
  if (!foreign || typeof createImageBitmap !== "function") return { encoded };
  const blob = new Blob([encoded.slice()]);
  const bitmap = await createImageBitmap(blob, { premultiplyAlpha: "none" }).catch(() => undefined);
  return bitmap ? drawn(bitmap) : { encoded };
}

async function readBlob(blob: Blob): Promise<Uint8Array> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    // of a file that was moved or changed since it was picked
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `expected a file that can be read, got: ${message}`, { cause: error });
  }
}

async function fetchImage(url: string): Promise<Uint8Array> {
  const unreadable = (got: string, cause?: unknown) =>
    new ClipError("source-unreadable", `${excerpt(url)}: expected an image, got ${got}`, { cause });
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw unreadable(`none: ${excerpt((error as Error).message)}`, error);
  }
  if (!response.ok) throw unreadable(`HTTP ${response.status}`);
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    pieces.push(next.value);
    length += next.value.length;
    if (length > MOST_BYTES) {
      await reader?.cancel();
      throw unreadable(`more than ${MOST_BYTES} bytes`);
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Pixels of what the platform has already decoded, not resized. */
function drawn(bitmap: ImageBitmap): ReadyImage {
  const { width, height } = bitmap;
  if (width === 0 || height === 0)
    throw new ClipError("invalid-image", "expected a bitmap with pixels, got a closed one");
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new ClipError("invalid-image", `expected a canvas of ${width}×${height}, got none: too large?`);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.buffer), width, height };
}
