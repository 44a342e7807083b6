/** Sources that are read as streams. */

import { readDisk } from "#disk";
import { fetchAddress, sendable } from "#place";
import { decodeEscapes, splitUser, withoutSecrets } from "../../workers/protocol/address.js";
import { type Bytes, isBlob, isBytes, isFileHandle, isUrl, tagOf, toBytes } from "../../workers/protocol/bytes.js";
import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { locate } from "../inputs/location.js";
import { describeType } from "../options/describe.js";

/** Bytes, a file or its handle, a response, a stream, an address, or in Node a path. */
export type ReadableSource =
  | string
  | PlatformClass<"URL">
  | Bytes
  | PlatformClass<"FileSystemFileHandle">
  | PlatformClass<"Response">
  | PlatformClass<"ReadableStream">;

const isStream = (value: unknown): value is ReadableStream<Uint8Array> =>
  tagOf(value) === "ReadableStream" && typeof (value as ReadableStream).getReader === "function";
const isResponse = (value: unknown): value is Response => tagOf(value) === "Response";

const unreadable = (name: string, problem: string, cause?: unknown) =>
  new ClipError("source-unreadable", `${excerpt(name)}: ${problem}`, { cause });

/** Streams the body of an answer; its error says where the transfer broke off. */
function bodyOf(response: Response, name: string): ReadableStream<Uint8Array> {
  if (!response.ok || !response.body) throw unreadable(name, `expected a file, got HTTP ${response.status}`);
  const reader = response.body.getReader();
  let length = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await reader.read().catch((error: Error) => {
          throw unreadable(name, `the transfer broke off at byte ${length}: ${excerpt(error.message)}`, error);
        });
        if (done) return controller.close();
        length += value.length;
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}

/** Opens a file, which may have been deleted or become inaccessible since it was picked. */
async function openHandle(handle: FileSystemFileHandle): Promise<File> {
  try {
    return await handle.getFile();
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("source-unreadable", `cannot read the file ${handle.name}: ${message}`, {
      cause: error,
    });
  }
}

/**
 * Streams the bytes of a source.
 *
 * @throws ClipError `invalid-source`, `source-unreadable`
 */
export async function openReadable(source: ReadableSource): Promise<ReadableStream<Uint8Array>> {
  if (isBytes(source)) return new Blob([toBytes(source)]).stream();
  if (isBlob(source)) {
    const own = await sendable(source);
    return isBlob(own) ? own.stream() : openReadable(own);
  }
  if (isStream(source)) return source;
  if (isResponse(source)) return bodyOf(source, source.url || "the response");
  if ((typeof source === "string" && source !== "") || isUrl(source)) {
    const place = locate(source);
    if ("path" in place) return readDisk(place.path);
    const { address, headers } = splitUser(place.address);
    const response = await fetchAddress(address, { headers }).catch((error: Error) => {
      throw unreadable(address, excerpt(error.message), error);
    });
    return bodyOf(response, address);
  }
  if (isFileHandle(source)) return (await openHandle(source)).stream();
  throw new ClipError(
    "invalid-source",
    `expected bytes, a Blob, a Response, a ReadableStream, an address or a path, got ${describeType(source)}`,
  );
}

/** Returns the name of a source for messages, where it has one. */
export function nameOf(source: ReadableSource): string | undefined {
  if (typeof source === "string") return withoutSecrets(source);
  if (isUrl(source)) return withoutSecrets(source.href);
  if (isResponse(source)) return source.url ? withoutSecrets(source.url) : undefined;
  return typeof source === "object" && source !== null && "name" in source && typeof source.name === "string"
    ? source.name
    : undefined;
}

/** Joins pieces of bytes. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0] as Uint8Array;
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

/** Yields what a stream holds: Safari's streams cannot be iterated. A loop that is left cancels it. */
export async function* valuesOf<T>(stream: ReadableStream<T>): AsyncGenerator<T, void, undefined> {
  const reader = stream.getReader();
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
  } finally {
    await reader.cancel();
  }
}

/** Returns the path of a source, whose extension tells the format: without the query of an address. */
export function pathIn(source: ReadableSource): string {
  const address = isResponse(source) ? source.url : source;
  if (typeof address !== "string" && !isUrl(address)) return nameOf(source) ?? "";
  const place = address === "" ? { path: "" } : locate(address);
  return "path" in place ? place.path : decodeEscapes(place.address.replace(/[?#].*$/s, ""));
}

/**
 * Reads a stream to its end. Its bytes are counted as they arrive: a server may send without end, and gzip packs much into little.
 *
 * @throws ClipError `invalid-dataset` above `limit`
 */
export async function readAll(stream: ReadableStream<Uint8Array>, limit: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of valuesOf(stream)) {
    pieces.push(piece);
    length += piece.length;
    if (length > limit) throw new ClipError("invalid-dataset", `expected at most ${limit} bytes, got more`);
  }
  return concat(pieces);
}

/** Reads the first bytes of a stream. Returns them, and a stream that begins with them. */
export async function peek(
  stream: ReadableStream<Uint8Array>,
  length: number,
): Promise<[head: Uint8Array, whole: ReadableStream<Uint8Array>]> {
  const reader = stream.getReader();
  let head: Uint8Array = new Uint8Array();
  while (head.length < length) {
    const { done, value } = await reader.read();
    if (done) break;
    head = concat([head, value]);
  }
  const whole = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (head.length > 0) controller.enqueue(head);
      },
      async pull(controller) {
        const { done, value } = await reader.read();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
  return [head, whole];
}
