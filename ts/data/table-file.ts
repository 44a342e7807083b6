/** The bytes of a table's file: unpacked where they are packed, refused by name where they are no text. */

import { ClipError } from "../../workers/protocol/error.js";
import { HEAD_BYTES } from "./image-format.js";
import { readAll } from "./readable.js";
import { contentOf } from "./sniff.js";

async function unpack(bytes: Uint8Array): Promise<Uint8Array> {
  const packed = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
  try {
    return await readAll(packed.pipeThrough(new DecompressionStream("gzip")));
  } catch (error) {
    const { message } = error as Error;
    throw new ClipError("invalid-dataset", `expected a whole gzip file, got: ${message}`, { cause: error });
  }
}

/** @throws ClipError `invalid-dataset` for a gzip file that is cut, and for what is known to be no table */
export async function openTable(bytes: Uint8Array): Promise<Uint8Array> {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return unpack(bytes);
  const content = contentOf(bytes.subarray(0, HEAD_BYTES));
  if (content === undefined || ["text", "JSON", "an empty file"].includes(content)) return bytes;
  const hint = content === "a zip archive" ? " (as Excel's workbooks are: save it as CSV)" : "";
  throw new ClipError("invalid-dataset", `expected a table as csv, tsv or JSON lines, got ${content}${hint}`);
}
