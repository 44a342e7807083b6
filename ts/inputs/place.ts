/** What depends on where the code runs: in a page or a worker of it. `place.node.ts` stands in its place in Node. */

/** Whether a string that is no address is a path on disk. */
export const readsDisk: boolean = false;

/** Whether the platform decodes images of its own formats, and reads the pixels of canvases, videos and bitmaps. */
export const drawsImages: boolean = true;

/** Returns what relative addresses are relative to: the page, or the script of an app's own worker. */
export function baseAddress(): string | undefined {
  if (typeof document !== "undefined") return document.baseURI;
  if (typeof location === "undefined") return undefined;
  // nothing is relative to the address of a Blob
  return location.protocol === "blob:" ? `${location.origin}/` : location.href;
}

/** Returns the absolute address of a file that has a relative one; `undefined` where nothing says what it is relative to. */
export function addressOfFile(address: string): string | undefined {
  const base = baseAddress();
  return URL.canParse(address, base) ? new URL(address, base).href : undefined;
}

/** Returns a `Blob` as it can be sent to a worker. */
export const sendable = async (blob: Blob): Promise<Blob | Uint8Array<ArrayBuffer>> => blob;

/** Fetches an address. */
export const fetchAddress = (address: string | URL, init: RequestInit = {}): Promise<Response> => fetch(address, init);
