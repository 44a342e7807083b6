/** What is read from its beginning to its end, wherever it is. */

import { readDisk } from "#disk";
import { ClipError } from "../../workers/error.js";
import { describe } from "../describe.js";
import { locate } from "../location.js";

/** Bytes, a file or its handle, a response, a stream; or where it is: an address, or in Node a path. */
export type ReadableSource =
  | string
  | URL
  | Uint8Array<ArrayBuffer>
  | ArrayBuffer
  | Blob
  | FileSystemFileHandle
  | Response
  | ReadableStream<Uint8Array>;

function bodyOf(response: Response, name: string): ReadableStream<Uint8Array> {
  if (response.ok && response.body) return response.body;
  throw new ClipError("source-unreadable", `${name}: expected a file, got HTTP ${response.status}`);
}

/** The bytes of a source as they come. */
export async function openReadable(source: ReadableSource): Promise<ReadableStream<Uint8Array>> {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new Blob([source]).stream();
  if (source instanceof Blob) return source.stream();
  if (source instanceof ReadableStream) return source;
  if (source instanceof Response) return bodyOf(source, source.url || "the response");
  if ((typeof source === "string" && source !== "") || source instanceof URL) {
    const place = locate(source);
    if ("path" in place) return readDisk(place.path);
    const response = await fetch(place.address).catch((error) => {
      throw new ClipError("source-unreadable", `${place.address}: ${(error as Error).message}`, { cause: error });
    });
    return bodyOf(response, place.address);
  }
  if (typeof source === "object" && source !== null && "getFile" in source) return (await source.getFile()).stream();
  throw new ClipError(
    "invalid-source",
    `expected bytes, a Blob, a Response, a ReadableStream, an address or a path, got ${describe(source)}`,
  );
}

/** How messages call a source; nothing where there is nothing to call it by. */
export function nameOf(source: ReadableSource): string | undefined {
  if (typeof source === "string") return source;
  if (source instanceof URL) return source.href;
  if (source instanceof Response) return source.url || undefined;
  return typeof source === "object" && "name" in source && typeof source.name === "string" ? source.name : undefined;
}
