/** What an export notes in its tables, so that an import gives the same items again. */

import { ClipError } from "../../workers/protocol/error.js";
import type { ColumnPlan } from "./metadata-columns.js";

/** Key of the note in a table. */
export const NOTE = "clipwright";

/** Version of the note that this code writes. */
const VERSION = 1;

/** The note, in JSON. */
export interface Note {
  version: number;
  /** Column of the ids. */
  id: string;
  /** Column of the metadata as a whole. */
  whole?: string;
  /** Fingerprint of the model. */
  model?: string;
}

export function noteOf({ id, whole }: ColumnPlan, model: string | undefined): string {
  return JSON.stringify({ version: VERSION, id, whole, model } satisfies Record<keyof Note, unknown>);
}

/**
 * Reads the note of a table; `undefined` if another program wrote it.
 *
 * @throws ClipError `invalid-dataset` for one of a newer version
 */
export function readNote(path: string, notes: ReadonlyMap<string, string>): Note | undefined {
  const text = notes.get(NOTE);
  if (text === undefined) return undefined;
  let note: Partial<Note> | null;
  try {
    note = JSON.parse(text);
  } catch {
    note = null;
  }
  const { version, id, whole = "", model = "" } = note ?? {};
  if (typeof version !== "number" || [id, whole, model].some((name) => typeof name !== "string"))
    throw new ClipError("invalid-dataset", `${path}: what its export noted is damaged`);
  if (version > VERSION)
    throw new ClipError("invalid-dataset", `${path}: a newer version of clipwright exported it: update clipwright`);
  return note as Note;
}
