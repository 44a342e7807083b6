/** What the rows of a table say, whether its values are separated or JSON. */

import { ClipError, toClipError } from "../../workers/protocol/error.js";
import { describeType } from "../options/describe.js";
import { type Field, readCsvRows } from "./csv.js";
import { undecoded } from "./decode-text.js";
import { invalidCharacter } from "./sample.js";
import { type Columns, findColumns, list, type TableColumns } from "./table-columns.js";

/** A row: a picture's name and its captions, or why it has none. */
export interface TableRow {
  /** How messages call it. */
  where: string;
  name: string;
  captions: string[];
  problem?: string;
}

/** How a table is read. */
interface TableFormat extends TableColumns {
  encoding?: string;
}

/** Separators that a header is tried with, before others that are in it. */
const SEPARATORS = [",", "\t", ";", "|"];

/** What pandas takes for no value; in quotes, it is one. */
const MISSING = /^(#?N\/A|#?NA|<NA>|NULL|NaN|None|n\/a|nan|null)$/;

const headerOf = (text: string, separator: string): string[] => {
  for (const row of readCsvRows(text, separator)) {
    const header = row.map(({ text }) => text.trim());
    if (header.some((name) => name !== "")) return header;
  }
  return [];
};

/** The separator with which a header has both columns; where none has, the one with the most columns. */
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

/** What a table's header says. */
interface Header extends Columns {
  length: number;
  separator: string;
}

/** A line in quotes that reads like a row: a quote that was never closed took it in. */
const rowWithin = (text: string, { image, length, separator }: Header): string | undefined =>
  text
    .split(/\r\n|\r|\n/)
    .slice(1)
    .find((line) => {
      const fields = line.split(separator);
      return fields.length >= length && /^[^\s"]+\.[a-z0-9]{2,4}$/i.test((fields[image] as string).trim());
    });

/** A row that is none; it is called by its picture's name where it has one. */
function bad(where: string, problem: string, name = ""): TableRow {
  return { where, name: invalidCharacter(name) ? "" : name.trim(), captions: [], problem };
}

/** A row with all that it should have. */
function complete(where: string, name: string, captions: readonly unknown[], { encoding }: TableFormat): TableRow {
  const lost = undecoded([name, ...captions], encoding);
  if (lost !== undefined) return bad(where, lost, name);
  if (name.trim() === "") return bad(where, "expected the name of a picture, got none");
  const other = captions.find((caption) => typeof caption !== "string");
  if (other !== undefined) return bad(where, `expected captions as text, got ${describeType(other)}`, name);
  const texts = (captions as string[]).filter((caption) => caption.trim() !== "");
  const wrong = [name, ...texts].map(invalidCharacter).find((problem) => problem !== undefined);
  if (wrong !== undefined) return bad(where, wrong, name);
  if (texts.length === 0) return bad(where, "expected a caption, got none", name);
  return { where, name: name.trim(), captions: texts };
}

function ofFields(where: string, row: readonly Field[], header: Header, format: TableFormat): TableRow {
  const texts = row.map(({ text }) => text);
  // a field that is cut moves those behind it
  const name = header.image < header.caption ? texts[header.image] : undefined;
  const problem = row.find(({ problem }) => problem !== undefined)?.problem;
  // a separator too many at the end cuts nothing
  const cut = texts.slice(header.length).some((text) => text.trim() !== "");
  if (problem !== undefined || cut || row.length < header.length) {
    const hint = cut ? "; a field that holds the separator stands in quotes" : "";
    const fields = `expected ${header.length} fields, as the header has, got ${row.length}: ${list(texts)}${hint}`;
    const quotes = problem && `expected whole quotes, got ${problem}, in ${list(texts)}`;
    return bad(where, undecoded(texts, format.encoding) ?? quotes ?? fields, name);
  }
  const [image, caption] = [row[header.image] as Field, row[header.caption] as Field];
  const within = rowWithin(caption.text, header);
  if (within !== undefined)
    return bad(where, `expected whole quotes, got a row in quotes: ${list([within])}`, image.text);
  const value = caption.text.trim();
  if (!caption.quoted && MISSING.test(value)) {
    return bad(where, `expected a caption, got ${value}, which means none; in quotes it is one`, image.text);
  }
  return complete(where, image.text, [caption.text], format);
}

function* ofSeparated(text: string, format: TableFormat): Generator<TableRow, void, undefined> {
  // Excel's own first line
  const [sepLine = "", said = ""] = /^"?sep=([^\r\n])"?[ \t]*(?:\r\n|\r|\n|$)/i.exec(text) ?? [];
  const body = text.slice(sepLine.length);
  const between = format.separator ?? (said || findSeparator(body, format));
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
  if (typeof name !== "string") return bad(where, `expected the name of a picture, got ${describeType(name)}`);
  return complete(where, name, [values[columns.caption]].flat(), format);
}

/** The values in JSON: those of one array, or of lines. */
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
      const problem = error instanceof SyntaxError ? `expected JSON, got: ${message.slice(0, 200)}` : message;
      errors.push(new ClipError("invalid-dataset", `${where}: ${problem}`));
      return bad(where, problem);
    }
  });
  // not one is what was expected: the table is another, or the column
  if (errors[0] && errors.length === rows.length) throw errors[0];
  return rows;
}

const JSON_NAME = /\.(json|jsonl|jsonlines|ndjson)(\.gz)?$/i;

/**
 * The rows of a table: of JSON, one object a line or an array of them, or of separated values under a header.
 *
 * @throws ClipError `invalid-dataset` for a table that lacks the columns, `invalid-option`
 */
export function tableRows(text: string, fileName: string, format: TableFormat): Iterable<TableRow> {
  const isJson = JSON_NAME.test(fileName) || /^\s*[[{]/.test(text);
  return isJson ? ofJson(text, format) : ofSeparated(text, format);
}
