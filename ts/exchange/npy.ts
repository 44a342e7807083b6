/** NumPy's array files: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. */

import { ClipError } from "../../workers/protocol/error.js";
import { excerpt } from "../../workers/protocol/excerpt.js";
import type { SeekableFile } from "../data/folder.js";
import { fromHalf } from "./half.js";

/** Types of elements that embeddings have, by NumPy's names, with their bytes. */
const ELEMENTS: Readonly<Record<string, number>> = { f2: 2, f4: 4, f8: 8 };

/** Longest header that NumPy reads, in bytes. */
const MAX_HEADER = 10_000;
/** Most values of a row. */
const MAX_DIMENSION = 1 << 16;
/** Bytes a read. */
const PIECE = 1 << 22;

/** An array of rows in a file. */
export interface Npy {
  rows: number;
  /** Values of a row. */
  dimension: number;
  /**
   * Reads the rows in order, several at a time.
   *
   * @throws ClipError `invalid-dataset` for a row that is no direction: with NaN, infinite or only zeros; `source-unreadable`
   */
  blocks(): AsyncGenerator<Float32Array, void, undefined>;
}

const invalid = (path: string, problem: string) => new ClipError("invalid-dataset", `${path}: ${problem}`);

/** What a header says. */
interface Header {
  element: string;
  bigEndian: boolean;
  rows: number;
  dimension: number;
}

/** Reads the dictionary of a header, a literal in Python. */
function parse(path: string, text: string): Header {
  const field = (name: string, value: string) =>
    new RegExp(`["']${name}["']\\s*:\\s*(?:${value})\\s*[,}]`).exec(text)?.[1];
  const known = /^\s*\{.*\}\s*$/s.test(text);
  const descr = field("descr", `["']([^"']*)["']`);
  const order = field("fortran_order", "(True|False)");
  const shape = field("shape", "\\(([\\d\\sL,]*)\\)");
  if (!known || order === undefined || shape === undefined)
    throw invalid(path, `the header of the array is damaged: ${excerpt(text.trim())}`);
  const [, byteOrder, element = ""] = /^([<>])(f\d+)$/.exec(descr ?? "") ?? [];
  if (!(element in ELEMENTS)) {
    const got = descr === undefined ? "records" : `the type ${excerpt(descr)}`;
    throw invalid(path, `expected floats (f2, f4, f8), got ${got}: save array.astype("float16")`);
  }
  const sizes = shape.split(",").filter((size) => size.trim() !== "");
  const [rows, dimension] = sizes.map((size) => Number.parseInt(size, 10)) as [number, number];
  if (sizes.length !== 2) throw invalid(path, `expected rows and columns, got an array of the shape (${shape.trim()})`);
  if (order === "True")
    throw invalid(path, "the array is stored by columns (fortran_order): save numpy.ascontiguousarray(array)");
  if (dimension < 1 || dimension > MAX_DIMENSION)
    throw invalid(path, `expected rows of 1 to ${MAX_DIMENSION} values, got ${dimension}`);
  return { element, bigEndian: byteOrder === ">", rows, dimension };
}

/** Reads the header; returns it and where the values begin. */
async function readHeader(path: string, file: SeekableFile): Promise<[Header, number]> {
  const head = await file.slice(0, Math.min(file.size, 12 + MAX_HEADER));
  if (head.length < 12 || String.fromCharCode(...head.subarray(0, 6)) !== "\x93NUMPY")
    throw invalid(path, "expected an array of NumPy (.npy), got another file");
  const version = head[6] as number;
  if (version < 1 || version > 3) throw invalid(path, `format ${version} of NumPy's files is not known`);
  const view = new DataView(head.buffer, head.byteOffset);
  // version 1 has a short length, and all of them a header in whole ASCII where the type is plain
  const [begin, length] = version === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  if (length > MAX_HEADER) throw invalid(path, `the header has ${length} bytes, over ${MAX_HEADER}`);
  if (begin + length > head.length) throw invalid(path, "the file ends within the header");
  const text = new TextDecoder().decode(head.subarray(begin, begin + length));
  return [parse(path, text), begin + length];
}

/** Reverses the bytes of each element. */
function swap(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}

/** Values of elements in the byte order of the platform, which is little-endian wherever WebAssembly is. */
function decode(bytes: Uint8Array<ArrayBuffer>, element: string): Float32Array<ArrayBuffer> {
  const { buffer } = bytes.byteOffset === 0 ? bytes : bytes.slice();
  const count = bytes.length / (ELEMENTS[element] as number);
  if (element === "f2") return fromHalf(new Uint16Array(buffer, 0, count));
  return element === "f4" ? new Float32Array(buffer, 0, count) : new Float32Array(new Float64Array(buffer, 0, count));
}

/** Fails at a row that is no direction. */
function checkRows(path: string, block: Float32Array, dimension: number, first: number): void {
  for (let at = 0; at < block.length; at += dimension) {
    let squares = 0;
    for (let i = at; i < at + dimension; i++) squares += (block[i] as number) ** 2;
    if (squares > 0 && squares < Number.POSITIVE_INFINITY) continue;
    const what = squares === 0 ? "is zero" : Number.isNaN(squares) ? "contains NaN" : "contains infinite values";
    throw invalid(path, `row ${first + at / dimension} ${what}`);
  }
}

/**
 * Opens an array of rows.
 *
 * @param path - name of the file, for messages
 * @throws ClipError `invalid-dataset` for another file, another type or shape, or another size than the header says;
 * `source-unreadable`
 */
export async function openNpy(path: string, file: SeekableFile): Promise<Npy> {
  const [{ element, bigEndian, rows, dimension }, begin] = await readHeader(path, file);
  const size = ELEMENTS[element] as number;
  const expected = begin + rows * dimension * size;
  if (file.size !== expected) {
    const problem = file.size < expected ? "it was cut off" : "the rest belongs to no row";
    throw invalid(
      path,
      `expected ${expected} bytes for ${rows} × ${dimension} ${element}, got ${file.size}: ${problem}`,
    );
  }
  return {
    rows,
    dimension,
    async *blocks() {
      const rowBytes = dimension * size;
      const step = Math.max(1, Math.floor(PIECE / rowBytes));
      for (let row = 0; row < rows; row += step) {
        const bytes = await file.slice(begin + row * rowBytes, begin + Math.min(rows, row + step) * rowBytes);
        if (bigEndian) swap(bytes, size);
        const block = decode(bytes, element);
        checkRows(path, block, dimension, row);
        yield block;
      }
    },
  };
}

/**
 * Makes a file for rows that are still to be written.
 *
 * @returns its bytes, and where in them the values begin: at a multiple of 64
 */
export function newNpy(element: "f2" | "f4", rows: number, dimension: number): [Uint8Array<ArrayBuffer>, number] {
  const header = `{'descr': '<${element}', 'fortran_order': False, 'shape': (${rows}, ${dimension}), }`;
  // magic, version, length, header and line break fill blocks of 64 bytes
  const begin = Math.ceil((10 + header.length + 1) / 64) * 64;
  const bytes = new Uint8Array(begin + rows * dimension * (ELEMENTS[element] as number));
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0]);
  new DataView(bytes.buffer).setUint16(8, begin - 10, true);
  bytes.set(new TextEncoder().encode(`${header.padEnd(begin - 11)}\n`), 10);
  return [bytes, begin];
}
