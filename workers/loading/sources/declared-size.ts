/** Reads the size of a safetensors file from its header, where the server does not tell it. */

import { checkSafetensors, invalidContent } from "./content.js";

/** Bytes before the header: its length. */
const LENGTH_BYTES = 8;
/** Bytes of the longest header, as in Hugging Face's library. */
const MAX_HEADER = 100_000_000;

/** Joins pieces until they have `length` bytes. */
class Start {
  #bytes = new Uint8Array(1 << 16);
  #filled = 0;

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#filled);
  }

  add(piece: Uint8Array): void {
    const length = this.#filled + piece.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#filled);
    this.#filled = length;
  }
}

/** Returns where the header ends; `undefined` until its length has arrived. */
function headerEnd(name: string, start: Uint8Array): number | undefined {
  if (start.length < LENGTH_BYTES + 1) return undefined;
  checkSafetensors(name, start);
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  if (length <= MAX_HEADER) return LENGTH_BYTES + length;
  throw invalidContent(name, `expected a header of at most ${MAX_HEADER} bytes, got ${length}`);
}

function lastByte(name: string, header: Uint8Array): number {
  let tensors: unknown;
  try {
    tensors = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(header));
  } catch {
    throw invalidContent(name, "expected a header in JSON");
  }
  const ends = Object.entries(Object(tensors) as Record<string, { data_offsets?: unknown[] } | null>)
    .filter(([tensor]) => tensor !== "__metadata__")
    .map(([, tensor]) => Number(tensor?.data_offsets?.[1]));
  const last = ends.reduce((most, end) => Math.max(most, end), 0);
  if (Number.isSafeInteger(last)) return last;
  throw invalidContent(name, "expected data_offsets of every tensor in the header");
}

/**
 * Reads the start of a file until its size is known.
 *
 * @throws ClipError `invalid-checkpoint` for another file, or one that ends in its header
 */
export async function declaredSize(name: string, pieces: AsyncIterable<Uint8Array>): Promise<number> {
  const start = new Start();
  let end: number | undefined;
  for await (const piece of pieces) {
    start.add(piece);
    end ??= headerEnd(name, start.bytes);
    if (end !== undefined && start.bytes.length >= end)
      return end + lastByte(name, start.bytes.subarray(LENGTH_BYTES, end));
  }
  checkSafetensors(name, start.bytes);
  throw invalidContent(name, `truncated: expected a header of ${end ?? LENGTH_BYTES} bytes, got ${start.bytes.length}`);
}
