/** The published vocabulary, as it ships with the package. */

const GZIP_MAGIC = [0x1f, 0x8b] as const;

/** Text of `assets/clip-merges.txt.gz`; some servers have already unpacked it. */
export async function readMerges(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  if (bytes[0] !== GZIP_MAGIC[0] || bytes[1] !== GZIP_MAGIC[1]) return new TextDecoder().decode(bytes);
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(unpacked).text();
}
