/** Starts the package's workers in a browser. */

import { givenAddress } from "./addresses.js";

const isForeign = ({ protocol, origin }: URL) => /^https?:$/.test(protocol) && origin !== self.location?.origin;

/** Starts a script of any origin: browsers start workers of the page's own origin alone, and a Blob's script may import others. */
function startAt(url: URL): Worker {
  if (!isForeign(url)) return new Worker(url, { type: "module" });
  const script = new Blob([`import ${JSON.stringify(url.href)};`], { type: "text/javascript" });
  // not revoked: browsers read it some time later
  return new Worker(URL.createObjectURL(script), { type: "module" });
}

/**
 * Starts the worker of a file: where the user says, or where a bundler put it, or beside the calling file, which may lie on a CDN.
 *
 * @param path path of the file, as seen from the calling one
 * @param from address of the calling file
 * @param bundled starts it by a literal address, which bundlers need
 */
export function startWorker(path: string, from: string, bundled: () => Worker): Worker {
  const given = givenAddress("workerUrl", path.slice(path.lastIndexOf("/") + 1));
  if (given) return startAt(given);
  const beside = URL.canParse(path, from) ? new URL(path, from) : undefined;
  return beside && isForeign(beside) ? startAt(beside) : bundled();
}
