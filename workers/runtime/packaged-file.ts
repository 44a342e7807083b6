/** Loads files that ship with the package. */

import { givenAddress } from "../protocol/addresses.js";
import { ClipError } from "../protocol/error.js";

/**
 * Runs `load`; its error names the file, which a bundler or a server may have mislaid.
 *
 * @throws ClipError `source-unreadable` or `out-of-memory`
 */
export async function loadPackaged<T>(name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (error instanceof ClipError) throw error;
    const code = error instanceof RangeError ? "out-of-memory" : "source-unreadable";
    const { message } = error as Error;
    throw new ClipError(code, `cannot load clipwright's own ${name}: ${message}`, { cause: error });
  }
}

/** Returns the address of a file of the package: the user's, or its own. */
export const packagedUrl = (kind: "wasmUrl" | "assetsUrl", name: string, own: () => URL): URL =>
  givenAddress(kind, name) ?? own();

/** Fetches a file of the package. */
export const fetchPackaged = (url: URL): Promise<Uint8Array<ArrayBuffer>> =>
  loadPackaged(url.href, async () => {
    const response = await fetch(url);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  });
