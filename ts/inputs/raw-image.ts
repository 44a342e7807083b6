/** Pixels in memory. */

import { tagOf, toBytes } from "../../workers/protocol/bytes.js";
import type { WireImage } from "../../workers/protocol/encode.js";
import { ClipError } from "../../workers/protocol/error.js";
import { describeType } from "../options/describe.js";

/**
 * Pixels in memory, row by row, such as `ImageData` or transformers.js's `RawImage`. The length of `data` tells gray (1 value a
 * pixel), gray with alpha (2), RGB (3) and RGBA (4) apart. Transparent pixels are blended with white.
 */
export interface RawImage {
  /** Values from 0 to 255. */
  data: Uint8Array | Uint8ClampedArray;
  /** Width in pixels. */
  width: number;
  /** Height in pixels. */
  height: number;
}

/** How to convert other types. Their values do not tell their range, so they are not converted here. */
const CONVERSIONS: Readonly<Record<string, string>> = {
  Float16Array: "convert levels from 0 to 1 by Uint8ClampedArray.from(data, (x) => 255 * x)",
  Float32Array: "convert levels from 0 to 1 by Uint8ClampedArray.from(data, (x) => 255 * x)",
  Float64Array: "convert levels from 0 to 1 by Uint8ClampedArray.from(data, (x) => 255 * x)",
  Uint16Array: "convert levels from 0 to 65535 by Uint8ClampedArray.from(data, (x) => x / 257)",
};

/** Whether a value is meant as raw pixels. */
export function isRawImage(value: unknown): value is RawImage {
  return typeof value === "object" && value !== null && "data" in value && "width" in value && "height" in value;
}

/**
 * Converts raw pixels to what the worker takes, without a copy where possible.
 *
 * @throws ClipError `invalid-image` for data of another type and for sides that are not whole numbers; `shape-mismatch` for data
 * whose length does not fit the sides
 */
export function toWirePixels(image: RawImage): WireImage {
  const { data, width, height } = image;
  const type = tagOf(data);
  if (type !== "Uint8Array" && type !== "Uint8ClampedArray") {
    const advice = CONVERSIONS[type] ?? "";
    throw new ClipError(
      "invalid-image",
      `raw pixels: expected data as Uint8Array or Uint8ClampedArray, got ${describeType(data)}${advice && `; ${advice}`}`,
    );
  }
  for (const [name, side] of Object.entries({ width, height })) {
    if (!Number.isSafeInteger(side) || side < 1) {
      const got = typeof side === "number" ? `${side}` : describeType(side);
      throw new ClipError("invalid-image", `raw pixels: expected ${name} as a whole number above 0, got ${got}`);
    }
  }
  const channels = "channels" in image ? [image.channels as number] : [3, 1, 2, 4];
  if (!channels.some((channels) => channels <= 4 && width * height * channels === data.length)) {
    const expected = `[${height}, ${width}, ${channels[0]}]${channels.length > 1 ? ", or 1, 2 or 4 values a pixel" : ""}`;
    throw new ClipError("shape-mismatch", `shape mismatch: image: expected ${expected}, got ${data.length} bytes`);
  }
  return { data: toBytes(data), width, height };
}
