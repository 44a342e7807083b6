/** Reads the whole body of an answer into memory. */

/** An answer has more bytes than may be read. */
export class TooLong extends Error {}

/** Codings that the platform undoes. Others are names that servers give to bytes as they are, such as S3's `aws-chunked`. */
const CODING = /\b(gzip|deflate|br|zstd|compress|dcb|dcz)\b/i;

/** Whether the bytes of an answer are not those that were sent: then neither its length nor its range is the file's. */
export const isEncoded = ({ headers }: Response): boolean => CODING.test(headers.get("content-encoding") ?? "");

/**
 * Returns how many bytes a whole answer has; `undefined` if it does not say. Another origin hides from a page whether its answer is
 * compressed, and shows the length of what was sent.
 */
export function lengthOf(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  const isOurs = response.type !== "cors" && !isEncoded(response);
  return isOurs && length !== null && /^\d+$/.test(length) ? Number(length) : undefined;
}

/**
 * Reads an answer. Its bytes are counted as they arrive, for it may be longer than it says, or not say it.
 *
 * @throws TooLong above `limit`; any other error if the transfer breaks off
 */
export async function readBody(response: Response, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const expected = lengthOf(response) ?? 0;
  const pieces: Uint8Array[] = [];
  let length = 0;
  const reader = response.body?.getReader();
  if (expected <= limit) {
    for (let next = await reader?.read(); next && !next.done && length <= limit; next = await reader?.read()) {
      pieces.push(next.value);
      length += next.value.length;
    }
  }
  if (Math.max(length, expected) > limit) {
    await reader?.cancel().catch(() => undefined);
    throw new TooLong(`expected at most ${limit} bytes, got more`);
  }
  // a service worker's answer is not checked by the browser
  if (length < expected) throw new Error(`expected ${expected} bytes, got ${length}`);
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
