/** CLIP's published vocabulary, which ships with the package. */

import { loadPackaged, packagedUrl } from "../runtime/packaged-file.js";
import { recognize } from "./sources/signatures.js";

/** URL of the file. */
export const mergesUrl = () =>
  packagedUrl("assetsUrl", "clip-merges.txt.gz", () => new URL("../../assets/clip-merges.txt.gz", import.meta.url));

const GZIP_MAGIC = [0x1f, 0x8b] as const;

/** Decodes `assets/clip-merges.txt.gz`, which some servers have decompressed already. */
export function readMerges(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return loadPackaged("clip-merges.txt.gz", async () => {
    if (bytes[0] === GZIP_MAGIC[0] && bytes[1] === GZIP_MAGIC[1]) {
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      return new Response(stream).text();
    }
    const format = recognize(bytes);
    if (format !== undefined) throw new Error(`got ${format}`);
    return new TextDecoder().decode(bytes);
  });
}
