/** What counts as an image. */

import { transfer } from "comlink";
import { type Bytes, isBlob, isBytes, isUrl, tagOf, toBytes } from "../../workers/protocol/bytes.js";
import type { NamedImage, WireImage } from "../../workers/protocol/encode.js";
import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import { describeType } from "../options/describe.js";
import { typedArray } from "../options/rules.js";
import { checkAddress, keyOf } from "./image-address.js";
import { locate } from "./location.js";
import { isRawImage, type RawImage, toWirePixels } from "./raw-image.js";

/** What the platform can draw. */
export type DrawnImage = ImageBitmap | HTMLCanvasElement | OffscreenCanvas | VideoFrame | HTMLVideoElement;

/**
 * An image:
 * - an encoded PNG, JPEG, WebP, GIF (its first frame) or BMP, as bytes or `Blob`; in a browser that reads AVIF, HEIC, JPEG XL or
 *   TIFF, those as well, as it decodes them;
 * - its address, as `URL` or text; in Node its path, as text;
 * - an `<img>`, whose address is read anew, so that it is decoded here as everywhere;
 * - `ImageBitmap`, canvas, `VideoFrame`, `<video>`: as the platform has decoded it;
 * - `ImageData`, or raw pixels: {@link RawImage}.
 */
export type ImageInput = string | URL | Bytes | RawImage | HTMLImageElement | DrawnImage;

/** Preprocessed images: normalised pixels, `[n, 3, size, size]`, row by row. */
export interface PixelInput {
  pixelValues: Float32Array;
}

/** One or several images, or images that are already preprocessed. */
export type ImagesInput = ImageInput | readonly ImageInput[] | PixelInput;

export const PIXELS = typedArray<Float32Array>("Float32Array");

/** Whether a value is images given as the tower's own numbers. */
export function isPixelInput(value: unknown): value is PixelInput {
  return typeof value === "object" && value !== null && "pixelValues" in value;
}

const DRAWN: ReadonlySet<string> = new Set([
  "ImageBitmap",
  "HTMLCanvasElement",
  "OffscreenCanvas",
  "VideoFrame",
  "HTMLVideoElement",
]);

const isElement = (value: unknown): value is HTMLImageElement => tagOf(value) === "HTMLImageElement";
const isDrawn = (value: unknown): value is DrawnImage => DRAWN.has(tagOf(value));

/** Pixels of another colour space than sRGB, or of other numbers than bytes: the platform converts them. */
function isOtherImageData(value: unknown): value is ImageData {
  if (tagOf(value) !== "ImageData") return false;
  const { colorSpace, data } = value as ImageData;
  return (colorSpace ?? "srgb") !== "srgb" || tagOf(data) !== "Uint8ClampedArray";
}

function ofAddress(address: string): WireImage {
  const place = locate(address);
  return "address" in place ? { url: place.address } : place;
}

/** An image as it crosses to the worker; the caller's buffers are left alone. */
export async function toWireImage(image: ImageInput): Promise<WireImage> {
  if (typeof image === "string" && image !== "") {
    checkAddress(image);
    return ofAddress(image);
  }
  if (isUrl(image)) return ofAddress(image.href);
  if (isBytes(image)) return { encoded: toBytes(image) };
  if (isBlob(image)) return { encoded: image };
  if (isElement(image)) {
    if (image.currentSrc || image.src) return { url: image.currentSrc || image.src };
    throw new ClipError("invalid-image", "expected an <img> with a src, got one without");
  }
  if (isDrawn(image)) return { bitmap: await toBitmap(image) };
  if (isOtherImageData(image)) return { bitmap: await toBitmap(image) };
  if (isRawImage(image)) return toWirePixels(image);
  throw new ClipError(
    "invalid-image",
    `expected encoded bytes, a Blob, an address, something drawn, ImageData or { data, width, height }, got ${describeType(image)}`,
  );
}

/** An image with what messages call it; `index` is its place among others. One that cannot be had says so over there. */
export async function toNamedImage(image: ImageInput, index: number): Promise<NamedImage> {
  const key = keyOf(image);
  const name = key ? excerpt(key) : `image ${index}`;
  try {
    return { name, image: await toWireImage(image) };
  } catch (error) {
    const { code, message } = toClipError(error);
    return { name, image: { failed: { code, message } } };
  }
}

/** Images as an argument of a call: their bitmaps move to the worker instead of being copied. */
export function moveBitmaps<T extends { image: WireImage }>(images: T[]): T[] {
  return transfer(
    images,
    images.flatMap(({ image }) => ("bitmap" in image ? [image.bitmap] : [])),
  );
}

/** A copy of what is drawn, which the worker may take. */
async function toBitmap(image: DrawnImage | ImageData): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(image, { premultiplyAlpha: "none", colorSpaceConversion: "default" });
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("invalid-image", `expected something drawn, got ${describeType(image)}: ${message}`, {
      cause: error,
    });
  }
}
