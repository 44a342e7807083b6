/** Files that come with the package. */

import { ClipError } from "../protocol/error.js";

/** What `read` makes of a file of the package. Where a bundler or a server has mislaid it, the message names it. */
export async function loadPackaged<T>(name: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof ClipError) throw error;
    const code = error instanceof RangeError ? "out-of-memory" : "source-unreadable";
    const { message } = error as Error;
    throw new ClipError(code, `expected to load clipwright's own ${name}, got: ${message}`, { cause: error });
  }
}
