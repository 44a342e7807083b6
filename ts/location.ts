/** Where something is that was named by text: at an address, or on disk. */

/** An address, or a path on disk. */
export type Location = { address: string } | { path: string };

/** Path of a `file:` address, on POSIX and on Windows. */
export function pathOf(url: URL): string {
  return decodeURIComponent(url.pathname).replace(/^\/([A-Za-z]:)/, "$1");
}

/**
 * Whole addresses are what they are; other text is relative to the page, or a path where there is none. Text that is no
 * address stays as it is, for whoever fetches it to complain of.
 */
export function locate(source: string | URL): Location {
  const text = String(source);
  if (/^file:/i.test(text) && URL.canParse(text)) return { path: pathOf(new URL(text)) };
  if (typeof document !== "undefined") {
    return { address: URL.canParse(text, document.baseURI) ? new URL(text, document.baseURI).href : text };
  }
  return /^[a-z][a-z0-9+.-]+:/i.test(text) ? { address: text } : { path: text };
}
