/** Unpacks the file of a table, and refuses other formats by name. */

import { ClipError, isClipError } from "../../workers/protocol/error.js";
import { HEAD_BYTES } from "./image-format.js";
import { readAll } from "./readable.js";
import { contentOf } from "./sniff.js";

/** Bytes of the largest table: JavaScript's longest string. */
export const MAX_TABLE_BYTES = 1 << 29;

async function unpack(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  try {
    return await readAll(packed.pipeThrough(new DecompressionStream("gzip")), MAX_TABLE_BYTES);
  } catch (error) {
    if (isClipError(error)) throw error;
    const { message } = error as Error;
    throw new ClipError("invalid-dataset", `cannot unpack the gzip file: ${message}`, { cause: error });
  }
}

/** @throws ClipError `invalid-dataset` for a truncated gzip file, and for a format that is known to be no table */
export async function openTable(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return unpack(bytes);
  const content = contentOf(bytes.subarray(0, HEAD_BYTES));
  if (content === undefined || ["text", "JSON", "an empty file"].includes(content)) return bytes;
  const hint = content === "a zip archive" ? " (an Excel workbook? save it as CSV)" : "";
  throw new ClipError("invalid-dataset", `expected a table as csv, tsv or JSON lines, got ${content}${hint}`);
}
