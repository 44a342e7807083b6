/** Strict decoding by the platform's decoders. */

/** Characters 0x80 to 0x9F of Windows-1252: Node 20 to 24 decode them as Latin-1's control characters (nodejs/node#56542). */
const WINDOWS_1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Whether the platform knows an encoding of that name. */
export function isEncoding(label: unknown): label is string {
  try {
    return typeof label === "string" && new TextDecoder(label) !== undefined;
  } catch {
    return false;
  }
}

/** Returns the canonical name of an encoding. */
export const encodingOf = (label: string): string => new TextDecoder(label).encoding;

/** Whether an encoding has one byte a character. */
export const isNarrow = (encoding: string) => /^(windows-|iso-8859-|koi8-|ibm866|macintosh|x-mac-)/.test(encoding);

/**
 * Decodes bytes without a byte order mark; returns `undefined` where they are not valid in the encoding. Valid UTF-8 is decoded as
 * UTF-8 also when an encoding of one byte a character is asked for: data sets are mixed, and words of these encodings are hardly ever
 * valid UTF-8.
 */
export function decodeAs(bytes: Uint8Array, encoding: string): string | undefined {
  const decoder = new TextDecoder(encoding, { fatal: true });
  const asUtf8 = isNarrow(decoder.encoding) ? decodeAs(bytes, "utf-8") : undefined;
  if (asUtf8 !== undefined) return asUtf8;
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    return undefined;
  }
  if (decoder.encoding.startsWith("utf-")) return text;
  if (decoder.encoding === "windows-1252") {
    text = text.replace(/[\x80-\x9f]/g, (control) => WINDOWS_1252[control.charCodeAt(0) - 0x80] as string);
  }
  // undefined bytes are decoded to control characters
  return /[\x80-\x9f\ufffd]/.test(text) ? undefined : text;
}
