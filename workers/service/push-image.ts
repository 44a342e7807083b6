/** Pushes loaded images into the module, for encoding and for data sets. */

import type { LoadedImage } from "../loading/images.js";
import { type ClipErrorCode, inItem, toClipError } from "../protocol/error.js";

/** An image that was loaded, or why it was not. */
export type Settled = PromiseSettledResult<LoadedImage>;

/** Pushes an image. An image that cannot be read or decoded is thrown by its name; with `skip`, its error is returned. */
export function pushImage(
  name: string,
  settled: Settled,
  skip: boolean,
  push: (image: LoadedImage) => void,
): { code: ClipErrorCode; message: string } | undefined {
  try {
    inItem(name, () => {
      if (settled.status === "rejected") throw settled.reason;
      push(settled.value);
    });
    return undefined;
  } catch (error) {
    const { code, message } = toClipError(error);
    if (!skip || code === "panicked") throw error;
    return { code, message };
  }
}
