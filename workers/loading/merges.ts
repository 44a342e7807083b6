/** The published vocabulary, as it ships with the package. */

import { loadPackaged } from "../runtime/packaged-file.js";
import { whatItIs } from "./sources/text.js";

const GZIP_MAGIC = [0x1f, 0x8b] as const;

/** Text of `assets/clip-merges.txt.gz`; some servers have already unpacked it. */
export function readMerges(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return loadPackaged("clip-merges.txt.gz", async () => {
    const unpacked = bytes[0] !== GZIP_MAGIC[0] || bytes[1] !== GZIP_MAGIC[1];
    const is = unpacked ? whatItIs(bytes) : undefined;
    if (is !== undefined) throw new Error(is);
    if (unpacked) return new TextDecoder().decode(bytes);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  });
}
