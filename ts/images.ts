/** What counts as an image. */

import { ClipError } from "../workers/error.js";
import type { WireImage } from "../workers/protocol.js";
import { describe } from "./describe.js";
import { locate } from "./location.js";

/** Pixels row by row, 3 (RGB) or 4 (RGBA) bytes each. `ImageData` is one. */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** What the platform can draw. */
export type DrawnImage = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | VideoFrame | HTMLVideoElement;

/**
 * An image:
 * - an encoded PNG, JPEG, WebP, GIF (its first frame) or BMP, as bytes or `Blob`;
 * - its address, as `URL` or text; in Node its path, as text;
 * - an `<img>`, whose address is read anew, so that it is decoded here as everywhere;
 * - `ImageBitmap`, canvas, `VideoFrame`, `<video>`: as the platform has decoded it;
 * - `ImageData`, or raw pixels.
 */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | RawImage | HTMLImageElement | DrawnImage;

/** Images that are already what the tower takes: `[n, 3, size, size]`, normalised. */
export interface PixelInput {
  pixelValues: Float32Array;
}

/** Whether a value is images given as the tower's own numbers. */
export function isPixelInput(value: unknown): value is PixelInput {
  return typeof value === "object" && value !== null && "pixelValues" in value;
}

/** Whether a value is an instance of a class that this platform may not have. */
function isA<
  K extends
    | "HTMLCanvasElement"
    | "HTMLImageElement"
    | "HTMLVideoElement"
    | "ImageBitmap"
    | "OffscreenCanvas"
    | "VideoFrame",
>(value: unknown, name: K): value is InstanceType<(typeof globalThis)[K]> {
  const type = (globalThis as Record<string, unknown>)[name];
  return typeof type === "function" && value instanceof type;
}

function ofAddress(address: string): WireImage {
  const place = locate(address);
  return "address" in place ? { url: place.address } : place;
}

/** An image as it crosses to the worker; the caller's buffers are left alone. */
export async function toWireImage(image: ImageInput): Promise<WireImage> {
  if (typeof image === "string" && image !== "") return ofAddress(image);
  if (image instanceof URL) return ofAddress(image.href);
  if (image instanceof Uint8Array) return { encoded: image };
  if (image instanceof ArrayBuffer) return { encoded: new Uint8Array(image) };
  if (typeof Blob !== "undefined" && image instanceof Blob) return { encoded: image };
  if (isA(image, "HTMLImageElement")) {
    if (image.currentSrc || image.src) return { url: image.currentSrc || image.src };
    throw new ClipError("invalid-image", "expected an <img> with a src, got one without");
  }
  for (const name of [
    "ImageBitmap",
    "HTMLCanvasElement",
    "OffscreenCanvas",
    "VideoFrame",
    "HTMLVideoElement",
  ] as const) {
    if (isA(image, name)) return { bitmap: await toBitmap(image) };
  }
  if (typeof image === "object" && image !== null && "data" in image && "width" in image && "height" in image) {
    const { data, width, height } = image;
    if (ArrayBuffer.isView(data)) {
      return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
    }
  }
  throw new ClipError(
    "invalid-image",
    `expected encoded bytes, a Blob, an address, something drawn, ImageData or { data, width, height }, got ${describe(image)}`,
  );
}

/** A copy of what is drawn, which the worker may take. */
async function toBitmap(image: DrawnImage): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(image, { premultiplyAlpha: "none", colorSpaceConversion: "default" });
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("invalid-image", `expected something drawn, got ${describe(image)}: ${message}`, {
      cause: error,
    });
  }
}
