/** Recognises what stands in place of a model's file: a login page, a Git LFS pointer, an archive. */

/** Bytes from the start of a file that `recognize` looks at. */
const SIGNATURE_BYTES = 512;

/** Starts of files that are often found in place of a model's, as `characters` spells them, and what to do. */
const SIGNATURES: [RegExp, string][] = [
  [/^$/, "an empty file"],
  [
    /^version https:\/\/(git-lfs|hawser)/,
    "a Git LFS pointer, without the file: run git lfs pull, or download the file where it is published",
  ],
  [/^\/?(\.\.\/)*\.git\/annex\//, "a git-annex pointer, without the file: run git annex get"],
  [/^(\.\.\/)+blobs\//, "a link of the Hub's cache, copied as text: copy the file that it links to"],
  [
    /^(\xff{3})?\s*<(!doctype|html|head|body|script|!--|title|meta)/i,
    "a web page: log in first, or download the file instead of the page about it",
  ],
  [/^(\xff{3})?\s*<(\?xml|error|svg|\w+>)/i, "an XML document, such as a server's error"],
  [/^PK(␃␄|␅␆|␇␈)/, "a zip archive, as PyTorch's .bin and .pt files are: convert it to safetensors"],
  [/^␟\xff/, "a gzip archive: unpack it"],
  [/^BZh\d/, "a bzip2 archive: unpack it"],
  [/^\xff7zXZ/, "an xz archive: unpack it"],
  [/^7z\xff\xff/, "a 7z archive: unpack it"],
  [/^\(\xff\/\xff/, "a zstd archive: unpack it"],
  [/^Rar!/, "a RAR archive: unpack it"],
  [/^[\s\S]{257}ustar/, "a tar archive: unpack it"],
  [/^\xff[␂-␅]([}c(\]X]|\xff)/, "a pickle, which can run code: convert it to safetensors"],
  [/^GGUF/, "a GGUF file, which is not supported"],
  [/^\xffHDF/, "an HDF5 file, which is not supported"],
  [/^\xffNUMPY/, "a NumPy file, which is not supported"],
  [/^␈[␃-␈\s]␒/, "an ONNX model, which is not supported"],
  [/^%PDF/, "a PDF"],
  [/^(\xffPNG|\xff{4}␀|GIF8|RIFF)/, "a picture"],
];

/** Spells the start of a file: ASCII as is, bytes above 0x7f as `\xff`, control characters as Unicode's symbols for them. */
export function characters(bytes: Uint8Array): string {
  const of = (byte: number) => {
    if (byte > 0x7f) return "\xff";
    return String.fromCharCode(byte < 0x20 && !/\s/.test(String.fromCharCode(byte)) ? 0x2400 + byte : byte);
  };
  return Array.from(bytes.subarray(0, SIGNATURE_BYTES), of).join("");
}

/** Names the format of a file by its start; `undefined` for every file that a model may consist of. */
export function recognize(bytes: Uint8Array): string | undefined {
  const start = characters(bytes);
  return SIGNATURES.find(([pattern]) => pattern.test(start))?.[1];
}
