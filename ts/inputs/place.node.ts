/**
 * What depends on where the code runs, in Node. jsdom and happy-dom define a document, a location and Blobs of their own there: a path
 * is a path all the same, and their Blobs cannot be sent to a worker.
 */

import { Blob as NodeBlob } from "node:buffer";
import { pathToFileURL } from "node:url";
import { runInThisContext } from "node:vm";
import { readBlob } from "../../workers/protocol/bytes.js";

export const readsDisk = true;
export const drawsImages = false;

/** Relative addresses do not exist: a string that is no address is a path. */
export const baseAddress = (): undefined => undefined;

/** Returns the address of a path. */
export const addressOfFile = (path: string): string => pathToFileURL(path).href;

/** Returns a `Blob` as it can be sent to a worker: bytes in place of one that Node does not know. */
export const sendable = async (blob: Blob): Promise<Blob | Uint8Array<ArrayBuffer>> =>
  blob instanceof NodeBlob ? blob : readBlob(blob);

/** Fetches an address. Jest's jsdom hides the `fetch` that Node has. */
export const fetchAddress = (address: string | URL, init: RequestInit = {}): Promise<Response> =>
  (globalThis.fetch ?? (runInThisContext("fetch") as typeof fetch))(address, init);
