/** What counts as an image. */

import { ClipError } from "../workers/error.js";
import type { WireImage } from "../workers/protocol.js";

/** Pixels row by row, 3 (RGB) or 4 (RGBA) bytes each. `ImageData` is one. */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

/** An encoded PNG, JPEG or WebP (bytes or Blob), or raw pixels. */
export type ImageInput = Uint8Array | ArrayBuffer | Blob | RawImage;

/** Images that are already what the tower takes: `[n, 3, size, size]`, normalised. */
export interface PixelInput {
  pixelValues: Float32Array;
}

/** Whether a value is images given as the tower's own numbers. */
export function isPixelInput(value: unknown): value is PixelInput {
  return typeof value === "object" && value !== null && "pixelValues" in value;
}

/** An image as it crosses to the worker; the caller's buffers are left alone. */
export async function toWireImage(image: ImageInput): Promise<WireImage> {
  if (image instanceof Uint8Array) return { encoded: image };
  if (image instanceof ArrayBuffer) return { encoded: new Uint8Array(image) };
  if (typeof Blob !== "undefined" && image instanceof Blob) {
    return { encoded: new Uint8Array(await image.arrayBuffer()) };
  }
  if (typeof image === "object" && image !== null && "data" in image && "width" in image && "height" in image) {
    const { data, width, height } = image;
    if (ArrayBuffer.isView(data)) {
      return { data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength), width, height };
    }
  }
  throw new ClipError(
    "invalid-image",
    `expected encoded bytes, a Blob, ImageData or { data, width, height }, got ${describe(image)}`,
  );
}

/** Type of a value, for messages. */
export function describe(value: unknown): string {
  if (value === null || typeof value !== "object") return value === null ? "null" : typeof value;
  return value.constructor?.name ?? "an object";
}

/** One or many as many. */
export function asArray<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? value : [value as T];
}
