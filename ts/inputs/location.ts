/** Where something is that was named by text: at an address, or on disk. */

/** An address, or a path on disk. */
export type Location = { address: string } | { path: string };

/** Path of a `file:` address, on POSIX and on Windows. */
export function pathOf(url: URL): string {
  return decoded(url.pathname).replace(/^\/([A-Za-z]:)/, "$1");
}

/** Characters for their percent signs; text with other such signs is meant as it stands. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Whether text is an address by itself. A colon alone makes none: `photo-12:30.png` is a file's name. */
export const isAbsolute = (text: string): boolean => /^([a-z][a-z0-9+.-]+:\/\/|(data|blob|file):)/i.test(text);

/**
 * Whole addresses are what they are; other text is relative to the page, or a path where there is none. Text that is no
 * address stays as it is, for whoever fetches it to complain of.
 */
export function locate(source: string | URL): Location {
  const text = String(source);
  if (/^file:/i.test(text) && URL.canParse(text)) return { path: pathOf(new URL(text)) };
  if (typeof document !== "undefined") {
    const relative = !isAbsolute(text) && URL.canParse(text) ? `./${text}` : text;
    return { address: URL.canParse(relative, document.baseURI) ? new URL(relative, document.baseURI).href : text };
  }
  return isAbsolute(text) ? { address: text } : { path: text };
}
