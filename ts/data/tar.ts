/** Reads tar streams: also compressed, concatenated, and without an end marker. */

import { createTarDecoder, type ParsedTarEntry } from "modern-tar";
import { ClipError, isClipError, toClipError } from "../../workers/protocol/error.js";
import { HEAD_BYTES } from "./image-format.js";
import { concat, peek, valuesOf } from "./readable.js";
import { contentOf } from "./sniff.js";

const BLOCK = 512;

const invalid = (message: string) => new ClipError("invalid-dataset", message);

const latin1 = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** Reads a number of a header: octal digits, or GNU's base-256 for larger numbers. */
function numberAt(header: Uint8Array, at: number, length: number): number {
  const field = header.subarray(at, at + length);
  if ((field[0] as number) & 0x80) return field.subarray(1).reduce((sum, byte) => sum * 256 + byte, 0);
  return Number.parseInt(latin1(field).replace(/\0.*$/s, "").trim() || "0", 8);
}

/** Whether a block is a header: its checksum is the sum of its bytes, with the checksum itself as spaces. */
function isHeader(block: Uint8Array): boolean {
  let sum = 8 * 32;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] as number;
  return numberAt(block, 148, 8) === sum;
}

/** Whether a member has bytes: links, devices and folders have none, whatever their size field says. */
const hasBytes = (header: Uint8Array) => !"123456".includes(String.fromCharCode(header[156] as number));

/**
 * Joins archives concatenated by `cat` (as `tar --ignore-zeros` reads them) and adds a missing end marker (as Python's tarfile
 * tolerates it). An archive that ends inside a member is refused.
 */
function wholeArchive(): TransformStream<Uint8Array, Uint8Array> {
  let block = new Uint8Array(BLOCK);
  let filled = 0;
  let position = 0;
  /** Bytes left of the member `name`. */
  let left = 0;
  let name = "";

  const take = (): Uint8Array | undefined => {
    if (block.every((byte) => byte === 0)) return undefined;
    if (!isHeader(block)) {
      const got = contentOf(block) ?? "unknown data";
      throw invalid(
        position === 0 ? `expected a tar file, got ${got}` : `expected a tar header at byte ${position}, got ${got}`,
      );
    }
    name = new TextDecoder().decode(block.subarray(0, 100)).replace(/\0.*$/s, "");
    left = hasBytes(block) ? Math.ceil(numberAt(block, 124, 12) / BLOCK) * BLOCK : 0;
    return block;
  };

  return new TransformStream({
    transform(chunk, controller) {
      for (let at = 0; at < chunk.length; ) {
        const inside = left > 0;
        const piece = chunk.subarray(at, at + (inside ? left : BLOCK - filled));
        at += piece.length;
        if (inside) {
          left -= piece.length;
          controller.enqueue(piece);
        } else {
          block.set(piece, filled);
          filled += piece.length;
          if (filled < BLOCK) break;
          const header = take();
          if (header) controller.enqueue(header);
          [block, filled] = [new Uint8Array(BLOCK), 0];
        }
        position += piece.length;
      }
    },
    flush(controller) {
      if (position === 0 && filled === 0) throw invalid("expected a tar file, got an empty file");
      if (left > 0) throw invalid(`truncated tar: ${left} bytes of ${name} are missing`);
      const cut = block.subarray(0, filled);
      if (position === 0) throw invalid(`expected a tar file, got ${contentOf(cut) ?? `${filled} bytes`}`);
      if (cut.some((byte) => byte !== 0))
        throw invalid(`truncated tar: expected a header of ${BLOCK} bytes after ${name}, got ${filled}`);
      controller.enqueue(new Uint8Array(2 * BLOCK));
    },
  });
}

/** A member of an archive. Its body must be read before the next member. */
export type TarMember = ParsedTarEntry;

/**
 * Reads a body. Where `wanted` refuses its first bytes, only these are returned. The body is read to its end all the same: cancelling
 * it could end the next one, which modern-tar 0.8.6 may have begun.
 */
export async function readBody(
  body: ReadableStream<Uint8Array>,
  wanted: (head: Uint8Array) => boolean = () => true,
): Promise<Uint8Array> {
  const reader = body.getReader();
  let chunks: Uint8Array[] = [];
  let length = 0;
  let use: boolean | undefined;
  for (let next = await reader.read(); ; next = await reader.read()) {
    if (!next.done && use !== false) chunks.push(next.value);
    length += next.value?.length ?? 0;
    if (use === undefined && (next.done || length >= HEAD_BYTES)) {
      const head = concat(chunks);
      use = wanted(head.subarray(0, HEAD_BYTES));
      chunks = [head];
    }
    if (next.done) return concat(chunks);
  }
}

/** Reads the members of a tar file, which may be compressed by gzip: its first bytes tell, not its name. */
export async function* readTar(stream: ReadableStream<Uint8Array>): AsyncGenerator<TarMember, void, undefined> {
  const [head, whole] = await peek(stream, 2);
  const zipped = head[0] === 0x1f && head[1] === 0x8b;
  const bytes = zipped
    ? whole.pipeThrough(new DecompressionStream("gzip") as TransformStream<Uint8Array, Uint8Array>)
    : whole;
  yield* valuesOf(bytes.pipeThrough(wholeArchive()).pipeThrough(createTarDecoder({ strict: true })));
}

/** Converts the errors of the streams that read a tar file. */
export function tarError(error: unknown): ClipError {
  if (isClipError(error)) return error;
  const { message } = toClipError(error);
  return new ClipError("invalid-dataset", `cannot read the tar file: ${message}`, { cause: error });
}
