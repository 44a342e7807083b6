/** Tells addresses and paths on disk apart. */

import { baseAddress, readsDisk } from "#place";
import { decodeEscapes } from "../../workers/protocol/address.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";

/** An address, or a path on disk. */
export type Location = { address: string } | { path: string };

/** Returns the path of a `file:` address, on POSIX and on Windows, where a host names a share. */
export function pathOf({ host, pathname }: URL): string {
  const path = decodeEscapes(pathname);
  return host === "" ? path.replace(/^\/([A-Za-z]:)/, "$1") : `//${host}${path}`;
}

/** Whether a string is an absolute address. A colon alone does not make one: `photo-12:30.png` and `data:1.png` are file names. */
export const isAbsolute = (text: string): boolean =>
  /^([a-z][a-z0-9+.-]+:\/\/|data:[^,]*,|blob:(null\/|[a-z][a-z0-9+.-]*:)|file:\/)/i.test(text);

/**
 * Makes a relative address absolute: the worker has another base than the page. A malformed address is returned unchanged, so that
 * fetching it fails with its own message.
 *
 * @throws ClipError `invalid-source` where nothing says what the address is relative to, as in a worker made from a `data:` URL
 */
export function absolute(address: string): string {
  if (URL.canParse(address)) return new URL(address).href;
  const base = baseAddress();
  if (base === undefined || !URL.canParse("./", base)) {
    throw new ClipError(
      "invalid-source",
      `the address ${JSON.stringify(excerpt(address))} is relative, and nothing here says to what: pass an absolute address`,
    );
  }
  return URL.canParse(address, base) ? new URL(address, base).href : address;
}

/**
 * Returns where a string points. Absolute addresses stay; others are paths in Node, and elsewhere relative to the page, or to the
 * script of an app's own worker.
 *
 * @throws ClipError `invalid-source` where nothing says what an address is relative to
 */
export function locate(source: string | URL): Location {
  const text = String(source);
  if (/^file:\//i.test(text) && URL.canParse(text)) return { path: pathOf(new URL(text)) };
  if (isAbsolute(text)) return { address: URL.canParse(text) ? new URL(text).href : text };
  return readsDisk ? { path: text } : { address: absolute(URL.canParse(text) ? `./${text}` : text) };
}
