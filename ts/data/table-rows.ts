/** Reads the rows of a table of separated values or JSON. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { describeType } from "../options/describe.js";
import { type Field, readCsvRows } from "./csv.js";
import { undecoded } from "./decode-text.js";
import { invalidCharacter } from "./sample.js";
import { type Columns, findColumns, list, type TableColumns } from "./table-columns.js";

/** A row: the name of an image and its captions, or a problem. */
export interface TableRow {
  /** Name of the row for messages. */
  where: string;
  name: string;
  captions: string[];
  problem?: string;
}

/** How a table is read. */
interface TableFormat extends TableColumns {
  encoding?: string;
}

/** Separators to try first; then the other signs in the header. */
const SEPARATORS = [",", "\t", ";", "|"];

/** Values that pandas reads as missing unless they are quoted. */
const MISSING = /^(#?N\/A|#?NA|<NA>|NULL|NaN|None|n\/a|nan|null)$/;

const headerOf = (text: string, separator: string): string[] => {
  for (const row of readCsvRows(text, separator)) {
    const header = row.map(({ text }) => text.trim());
    if (header.some((name) => name !== "")) return header;
  }
  return [];
};

/** Returns the separator that gives both columns, or else the one that gives the most columns. */
function findSeparator(text: string, format: TableFormat): string {
  const [line = ""] = /\S.*/.exec(text) ?? [];
  const candidates = [...new Set([...SEPARATORS, ...(line.match(/[^\p{L}\p{N}\s_"'-]/gu) ?? [])])];
  const headers = candidates.map((separator) => headerOf(text, separator));
  const fits = headers.findIndex((header) => {
    try {
      return findColumns(header, format);
    } catch {
      return false;
    }
  });
  const most = Math.max(...headers.map(({ length }) => length));
  return candidates[fits === -1 ? headers.findIndex(({ length }) => length === most) : fits] as string;
}

/** The header of a table. */
interface Header extends Columns {
  length: number;
  separator: string;
}

/** Finds a line inside a quoted field that looks like a row: an unclosed quote has swallowed it. */
const rowWithin = (text: string, { image, length, separator }: Header): string | undefined =>
  text
    .split(/\r\n|\r|\n/)
    .slice(1)
    .find((line) => {
      const fields = line.split(separator);
      return fields.length >= length && /^[^\s"]+\.[a-z0-9]{2,4}$/i.test((fields[image] as string).trim());
    });

/** Makes a row with a problem. */
function bad(where: string, problem: string, name = ""): TableRow {
  return { where, name: invalidCharacter(name) ? "" : name.trim(), captions: [], problem };
}

/** Makes a row, or one with a problem where a value is missing or invalid. */
function complete(where: string, name: string, captions: readonly unknown[], { encoding }: TableFormat): TableRow {
  const lost = undecoded([name, ...captions], encoding);
  if (lost !== undefined) return bad(where, lost, name);
  if (name.trim() === "") return bad(where, "no image name");
  const other = captions.find((caption) => typeof caption !== "string");
  if (other !== undefined) return bad(where, `expected captions as text, got ${describeType(other)}`, name);
  const texts = (captions as string[]).filter((caption) => caption.trim() !== "");
  const wrong = [name, ...texts].map(invalidCharacter).find((problem) => problem !== undefined);
  if (wrong !== undefined) return bad(where, wrong, name);
  if (texts.length === 0) return bad(where, "no caption", name);
  return { where, name: name.trim(), captions: texts };
}

function ofFields(where: string, row: readonly Field[], header: Header, format: TableFormat): TableRow {
  const texts = row.map(({ text }) => text);
  // a field that was split shifts the fields after it
  const name = header.image < header.caption ? texts[header.image] : undefined;
  const problem = row.find(({ problem }) => problem !== undefined)?.problem;
  // trailing separators split no field
  const split = texts.slice(header.length).some((text) => text.trim() !== "");
  if (problem !== undefined || split || row.length < header.length) {
    const hint = split ? "; quote fields that contain the separator" : "";
    const fields = `expected ${header.length} fields, as in the header, got ${row.length}: ${list(texts)}${hint}`;
    const quotes = problem && `${problem}: ${list(texts)}`;
    return bad(where, undecoded(texts, format.encoding) ?? quotes ?? fields, name);
  }
  const [image, caption] = [row[header.image] as Field, row[header.caption] as Field];
  const within = rowWithin(caption.text, header);
  if (within !== undefined)
    return bad(where, `a quote is not closed: the caption contains the row ${list([within])}`, image.text);
  const value = caption.text.trim();
  if (!caption.quoted && MISSING.test(value)) {
    return bad(where, `no caption: ${value} stands for a missing value; quote it if it is the caption`, image.text);
  }
  return complete(where, image.text, [caption.text], format);
}

function* ofSeparated(text: string, format: TableFormat): Generator<TableRow, void, undefined> {
  // Excel's optional first line
  const [sepLine = "", declared = ""] = /^"?sep=([^\r\n])"?[ \t]*(?:\r\n|\r|\n|$)/i.exec(text) ?? [];
  const body = text.slice(sepLine.length);
  const between = format.separator ?? (declared || findSeparator(body, format));
  let header: Header | undefined;
  let number = 0;
  for (const row of readCsvRows(body, between)) {
    number++;
    if (row.every(({ text }) => text.trim() === "")) continue;
    const where = `row ${number}`;
    if (header) {
      yield ofFields(where, row, header, format);
      continue;
    }
    const names = row.map(({ text }) => text.trim());
    const lost = undecoded(names, format.encoding);
    if (lost !== undefined) throw new ClipError("invalid-dataset", lost);
    header = { ...findColumns(names, format), length: names.length, separator: between };
  }
  if (!header) findColumns([], format);
}

function ofObject(where: string, row: unknown, format: TableFormat): TableRow {
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    return bad(where, `expected an object, got ${describeType(row)}`);
  }
  const columns = findColumns(Object.keys(row), format);
  const values = Object.values(row);
  const name: unknown = values[columns.image];
  if (typeof name !== "string") return bad(where, `expected an image name, got ${describeType(name)}`);
  return complete(where, name, [values[columns.caption]].flat(), format);
}

/** Splits JSON into values: the items of one array, or one value a line. */
function jsonValues(text: string): { where: string; json: string; value?: unknown }[] {
  try {
    const value: unknown = JSON.parse(text);
    if (!Array.isArray(value)) return [{ where: "line 1", json: "", value }];
    return value.map((item: unknown, i) => ({ where: `item ${i + 1}`, json: "", value: item }));
  } catch {
    const lines = text.split(/\r\n|\r|\n/).map((json, i) => ({ where: `line ${i + 1}`, json }));
    return lines.filter(({ json }) => json.trim() !== "");
  }
}

function ofJson(text: string, format: TableFormat): TableRow[] {
  const errors: ClipError[] = [];
  const rows = jsonValues(text).map(({ where, json, value }) => {
    try {
      return ofObject(where, json === "" ? value : JSON.parse(json), format);
    } catch (error) {
      const { message } = toClipError(error);
      const problem = (error as Error).name === "SyntaxError" ? `invalid JSON: ${message.slice(0, 200)}` : message;
      errors.push(new ClipError("invalid-dataset", `${where}: ${problem}`));
      return bad(where, problem);
    }
  });
  // every row fails: it is another table, or another column is meant
  if (errors[0] && errors.length === rows.length) throw errors[0];
  return rows;
}

const JSON_NAME = /\.(json|jsonl|jsonlines|ndjson)(\.gz)?$/i;

/**
 * Reads the rows of a table: JSON, as one object a line or an array of objects, or separated values under a header.
 *
 * @throws ClipError `invalid-dataset` for a table that lacks the columns, `invalid-option`
 */
export function tableRows(text: string, fileName: string, format: TableFormat): Iterable<TableRow> {
  const isJson = JSON_NAME.test(fileName) || /^\s*[[{]/.test(text);
  return isJson ? ofJson(text, format) : ofSeparated(text, format);
}
