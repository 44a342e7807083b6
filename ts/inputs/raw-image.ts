/** Pixels in memory. */

import { tagOf, toBytes } from "../../workers/protocol/bytes.js";
import type { WireImage } from "../../workers/protocol/encode.js";
import { ClipError } from "../../workers/protocol/error.js";
import { describeType } from "../options/describe.js";

/**
 * Pixels row by row: gray (1 value a pixel), gray and alpha (2), RGB (3) or RGBA (4), from 0 to 255, told apart by their number.
 * `ImageData` is one, transformers.js's `RawImage`, too. What is transparent is put on white.
 */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
}

/** How levels of other types become bytes; which of the usual ranges they have, nobody can tell from them. */
const CONVERSIONS: Readonly<Record<string, string>> = {
  Float16Array: "of levels from 0 to 1, Uint8ClampedArray.from(data, (x) => 255 * x) makes such",
  Float32Array: "of levels from 0 to 1, Uint8ClampedArray.from(data, (x) => 255 * x) makes such",
  Float64Array: "of levels from 0 to 1, Uint8ClampedArray.from(data, (x) => 255 * x) makes such",
  Uint16Array: "of levels from 0 to 65535, Uint8ClampedArray.from(data, (x) => x / 257) makes such",
};

/** Whether a value is meant as pixels in memory. */
export function isRawImage(value: unknown): value is RawImage {
  return typeof value === "object" && value !== null && "data" in value && "width" in value && "height" in value;
}

/**
 * Raw pixels as they cross to the worker: the caller's own memory, where it can be.
 *
 * @throws ClipError `invalid-image` for data of another type, and for sides that are no whole numbers; `shape-mismatch` for data
 * whose length does not fit them
 */
export function toWirePixels(image: RawImage): WireImage {
  const { data, width, height } = image;
  const type = tagOf(data);
  if (type !== "Uint8Array" && type !== "Uint8ClampedArray") {
    const advice = CONVERSIONS[type] ?? "";
    throw new ClipError(
      "invalid-image",
      `expected the data of raw pixels as Uint8Array or Uint8ClampedArray, got ${describeType(data)}${advice && `: ${advice}`}`,
    );
  }
  for (const [name, side] of Object.entries({ width, height })) {
    if (!Number.isSafeInteger(side) || side < 1) {
      const got = typeof side === "number" ? `${side}` : describeType(side);
      throw new ClipError(
        "invalid-image",
        `expected the ${name} of raw pixels as a whole number from 1 on, got ${got}`,
      );
    }
  }
  const channels = "channels" in image ? [image.channels as number] : [3, 1, 2, 4];
  if (!channels.some((channels) => channels <= 4 && width * height * channels === data.length)) {
    const expected = `[${height}, ${width}, ${channels[0]}]${channels.length > 1 ? ", or 1, 2 or 4 values a pixel" : ""}`;
    throw new ClipError("shape-mismatch", `shape mismatch: image: expected ${expected}, got ${data.length} bytes`);
  }
  return { data: toBytes(data), width, height };
}
