/** SQLite's result codes as `ClipError`s. */

import { ClipError, type ClipErrorCode } from "../protocol/error.js";

/** By primary result code: https://sqlite.org/rescode.html */
const CODES: Readonly<Record<number, [ClipErrorCode, string]>> = {
  5: ["index-busy", "another process holds the index: close it there, or try again"],
  6: ["index-busy", "another process holds the index: close it there, or try again"],
  7: ["out-of-memory", "the database has no memory left"],
  8: ["target-unwritable", "the index cannot be written: check the permissions of its file and folder"],
  10: ["target-unwritable", "the index cannot be read or written: is the disk, or this page's share of it, full?"],
  11: ["index-damaged", "the index is damaged: restore its file, or delete it and make it again"],
  13: ["target-unwritable", "the index cannot be written: the disk, or this page's share of it, is full"],
  14: [
    "target-unwritable",
    "the file of the index cannot be opened: check that its folder exists, and its permissions",
  ],
  26: ["index-damaged", "the file is no index: choose another one, or delete it"],
};

/** Converts an error of SQLite. */
export function fromSqlite(resultCode: number | undefined, error: unknown): ClipError {
  if (error instanceof ClipError) return error;
  const { message } = error as Error;
  const [code, reason] = CODES[(resultCode ?? 0) & 0xff] ?? ["unexpected", "the database failed"];
  return new ClipError(code, `${reason} (SQLite: ${message})`, { cause: error });
}
