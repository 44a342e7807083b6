/** The platform's decoders, made strict. */

/** What 0x80 to 0x9F are in Windows-1252: Node 20 to 24 take them for Latin-1's control characters (nodejs/node#56542). */
const WINDOWS_1252 = "€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ";

/** Whether the platform knows an encoding of that name. */
export function isEncoding(label: unknown): label is string {
  try {
    return typeof label === "string" && new TextDecoder(label) !== undefined;
  } catch {
    return false;
  }
}

/** Name of an encoding in the Encoding Standard, of which a label may be another name. */
export const encodingOf = (label: string): string => new TextDecoder(label).encoding;

/** Whether an encoding of that name has one byte a character. */
export const isNarrow = (encoding: string) => /^(windows-|iso-8859-|koi8-|ibm866|macintosh|x-mac-)/.test(encoding);

/**
 * Bytes as text, without a byte order mark of their own; nothing where they are not text in that encoding. In
 * encodings of one byte a character, what happens to be UTF-8 is: data sets are mixed, and hardly a word of theirs is.
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
  // bytes that stand for nothing become control characters
  return /[\x80-\x9f\ufffd]/.test(text) ? undefined : text;
}
