/** Loads files that ship with the package, in Node. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { fetchPackaged, loadPackaged } from "./packaged-file.js";

/** Reads a file of the package; fetches it where the user gave an address that is no file's. */
export const readPackaged = (url: URL): Promise<Uint8Array<ArrayBuffer>> =>
  url.protocol === "file:"
    ? loadPackaged(fileURLToPath(url), async () => new Uint8Array(await readFile(url)))
    : fetchPackaged(url);
