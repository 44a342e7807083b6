/** Images in the forms that callers give them. */

import { transfer } from "comlink";
import { drawsImages, fetchAddress, sendable } from "#place";
import { withoutSecrets } from "../../workers/protocol/address.js";
import { type Bytes, isBlob, isBytes, isUrl, tagOf, toBytes } from "../../workers/protocol/bytes.js";
import type { NamedImage, WireImage } from "../../workers/protocol/encode.js";
import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { describeType } from "../options/describe.js";
import { typedArray } from "../options/rules.js";
import { checkAddress, keyOf } from "./image-address.js";
import { locate } from "./location.js";
import { isRawImage, type RawImage, toWirePixels } from "./raw-image.js";

/** Images that the platform has decoded. */
export type DrawnImage =
  | PlatformClass<"ImageBitmap">
  | PlatformClass<"HTMLCanvasElement">
  | PlatformClass<"OffscreenCanvas">
  | PlatformClass<"VideoFrame">
  | PlatformClass<"HTMLVideoElement">;

/**
 * An image:
 * - bytes or a `Blob` of a PNG, JPEG, WebP, GIF (first frame) or BMP file; also AVIF, HEIC, JPEG XL or TIFF where the browser
 *   decodes them;
 * - an address, as `URL` or string; in Node also a path, as string;
 * - an `<img>`: its address is loaded again, so that it is decoded the same way everywhere;
 * - `ImageBitmap`, canvas, `VideoFrame`, `<video>`: as the platform decoded it;
 * - `ImageData`, or raw pixels: {@link RawImage}.
 */
export type ImageInput =
  | string
  | PlatformClass<"URL">
  | Bytes
  | RawImage
  | PlatformClass<"HTMLImageElement">
  | DrawnImage;

/** Preprocessed images: normalised pixels. */
export interface PixelInput {
  /** `[n, 3, size, size]`, row by row. */
  pixelValues: Float32Array;
}

/** One or several images, or images that are already preprocessed. */
export type ImagesInput = ImageInput | readonly ImageInput[] | PixelInput;

export const PIXELS = typedArray<Float32Array>("Float32Array");

/** Whether images are given preprocessed. */
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

/** Whether a value is `ImageData` of another colour space than sRGB, or not of bytes: the platform converts it. */
function isOtherImageData(value: unknown): value is ImageData {
  if (tagOf(value) !== "ImageData") return false;
  const { colorSpace, data } = value as ImageData;
  return (colorSpace ?? "srgb") !== "srgb" || tagOf(data) !== "Uint8ClampedArray";
}

async function ofAddress(address: string): Promise<WireImage> {
  const place = locate(address);
  if ("path" in place) return place;
  // the worker may not find it, or find it revoked
  if (/^blob:/i.test(place.address)) return { encoded: await fetchBlob(place.address) };
  return { url: place.address };
}

async function fetchBlob(address: string): Promise<Blob> {
  try {
    return await (await fetchAddress(address)).blob();
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `${address}: was it revoked? ${message}`, { cause: error });
  }
}

/** Reads the file of an `<img>`; one that was revoked when the picture had loaded, as the browser decoded it. */
async function ofElement(image: HTMLImageElement): Promise<WireImage> {
  const address = image.currentSrc || image.src;
  if (!address) throw new ClipError("invalid-image", "the <img> has no src");
  try {
    return await ofAddress(address);
  } catch (error) {
    if (!image.complete || image.naturalWidth === 0) throw error;
    return { bitmap: await toBitmap(image) };
  }
}

/**
 * Converts an image to what the worker takes, without detaching the caller's buffers.
 *
 * @throws ClipError `invalid-image`, `shape-mismatch`
 */
export async function toWireImage(image: ImageInput): Promise<WireImage> {
  if (typeof image === "string" && image !== "") {
    checkAddress(image);
    return ofAddress(image);
  }
  if (isUrl(image)) return ofAddress(image.href);
  if (isBytes(image)) return { encoded: toBytes(image) };
  if (isBlob(image)) return { encoded: await sendable(image) };
  if (isElement(image)) return ofElement(image);
  if (isDrawn(image)) return { bitmap: await toBitmap(image) };
  if (isOtherImageData(image)) return { bitmap: await toBitmap(image) };
  if (isRawImage(image)) return toWirePixels(image);
  throw new ClipError(
    "invalid-image",
    `expected encoded bytes, a Blob, an address, a canvas or bitmap, ImageData or { data, width, height }, got ${describeType(image)}`,
  );
}

/** Adds to an image the name that messages use for it. A bad image carries its error, which the worker throws in turn. */
export async function toNamedImage(image: ImageInput, index: number): Promise<NamedImage> {
  const key = keyOf(image);
  const name = key ? excerpt(withoutSecrets(key)) : `image ${index}`;
  try {
    return { name, image: await toWireImage(image) };
  } catch (error) {
    const { code, message } = toClipError(error);
    return { name, image: { failed: { code, message } } };
  }
}

/** Marks the bitmaps of images for transfer: the call moves them to the worker instead of copying them. */
export function moveBitmaps<T extends { image: WireImage }>(images: T[]): T[] {
  return transfer(
    images,
    images.flatMap(({ image }) => ("bitmap" in image ? [image.bitmap] : [])),
  );
}

/** Copies a drawn image to a bitmap that can be transferred. */
async function toBitmap(image: DrawnImage | ImageData | HTMLImageElement): Promise<ImageBitmap> {
  if (!drawsImages) {
    throw new ClipError(
      "platform-unsupported",
      `cannot read the pixels of the ${describeType(image)} outside a browser: pass a file's bytes, or { data, width, height }`,
    );
  }
  try {
    return await createImageBitmap(image, { premultiplyAlpha: "none", colorSpaceConversion: "default" });
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("invalid-image", `cannot read the pixels of the ${describeType(image)}: ${message}`, {
      cause: error,
    });
  }
}
