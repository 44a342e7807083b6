/** Tells addresses and paths on disk apart. */

/** An address, or a path on disk. */
export type Location = { address: string } | { path: string };

/** Returns the path of a `file:` address, on POSIX and on Windows. */
export function pathOf(url: URL): string {
  return decoded(url.pathname).replace(/^\/([A-Za-z]:)/, "$1");
}

/** Decodes percent escapes, or returns the path unchanged where they are malformed. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Whether a string is an absolute address. A colon alone does not make one: `photo-12:30.png` is a file name. */
export const isAbsolute = (text: string): boolean => /^([a-z][a-z0-9+.-]+:\/\/|(data|blob|file):)/i.test(text);

/**
 * Returns where a string points: absolute addresses stay; others are relative to the page, or without a page, paths. A malformed
 * address is returned unchanged, so that fetching it fails with its own message.
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
