/** Files on disk. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { ClipError } from "../protocol/error.js";
import { excerpt } from "../protocol/excerpt.js";
import { ownFile } from "../runtime/own-file.js";

/** A file that comes with the package, beside the workers. */
export const readAsset = (url: URL) => ownFile(fileURLToPath(url), async () => new Uint8Array(await readFile(url)));

/** A file of the caller's. */
export async function readPath(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    // the path stands in it once more
    const reason = (error as Error).message.replace(/, \w+ '.*'$/s, "");
    throw new ClipError("source-unreadable", `expected a file at ${excerpt(path)}, got: ${excerpt(reason)}`, {
      cause: error,
    });
  }
}
