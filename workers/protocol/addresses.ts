/**
 * Where the package's own files lie: where a bundler or the package itself says, unless the user does (`configure`). A page keeps it
 * here, and so does each worker, to which it is sent.
 */

/** Addresses of some files: a folder of all of them, or one for each by its name in the package. */
export type WireFiles = { folder: string } | { files: Record<string, string> };

/** Addresses as they are sent to a worker; all are absolute. */
export interface WireAddresses {
  workerUrl?: WireFiles;
  wasmUrl?: WireFiles;
  assetsUrl?: WireFiles;
}

let given: WireAddresses = {};

/** Sets where files lie. */
export function setAddresses(addresses: WireAddresses): void {
  given = addresses;
}

/** Returns what was set; `undefined` if nothing was. */
export const ownAddresses = (): WireAddresses | undefined => (Object.keys(given).length > 0 ? given : undefined);

/** Returns the address that the user gave for a file of the package. */
export function givenAddress(kind: keyof WireAddresses, name: string): URL | undefined {
  const files = given[kind];
  if (files === undefined) return undefined;
  if ("files" in files) return files.files[name] === undefined ? undefined : new URL(files.files[name]);
  const folder = new URL(files.folder);
  const url = new URL(name, `${folder.href.slice(0, folder.href.length - folder.search.length).replace(/\/?$/, "/")}`);
  // a signature, such as `?token=…`, goes with every request
  url.search = folder.search;
  return url;
}
