/** Loads files that ship with the package, in Node. */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { loadPackaged } from "./packaged-file.js";

/** Reads a file of the package. */
export const readPackaged = (url: URL): Promise<Uint8Array<ArrayBuffer>> =>
  loadPackaged(fileURLToPath(url), async () => new Uint8Array(await readFile(url)));
