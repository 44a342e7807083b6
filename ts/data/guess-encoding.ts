/** Guesses the encoding of bytes, for messages only: no text is decoded by a guess. */

import { decodeAs } from "./encodings.js";

/** An encoding, and a pattern of what is frequent in it. */
interface Guess {
  encoding: string;
  usual: RegExp;
  /** The pattern matches bytes, for encodings of several bytes a character. */
  ofBytes?: true;
}

const LATIN = /(?=\p{Script=Latin})(?:(?<!\p{Ll})\p{Lu}|\p{Ll})|[‘’“”„–—…•™©®°€£«»¿¡]/gu;
const CYRILLIC = /(?<!\p{L})[А-ЯЁІЇЄҐ]?[а-яёіїєґ]+(?!\p{L})/gu;
const GREEK = /(?<!\p{L})[Α-ΩΆΈΉΊΌΎΏ]?[α-ωάέήίόύώϊϋΐΰ]+(?!\p{L})/gu;

const WESTERN: readonly Guess[] = [
  { encoding: "windows-1252", usual: LATIN },
  { encoding: "windows-1250", usual: LATIN },
  { encoding: "macintosh", usual: LATIN },
];

// the more frequent half of each character set, narrower patterns first
const OTHERS: readonly Guess[] = [
  // kanji next to kana: the other languages have no kana
  {
    encoding: "euc-jp",
    usual: /(?:[\xb0-\xcf][\xa1-\xfe])*(?:[\xa4\xa5][\xa1-\xf6])+(?:[\xb0-\xcf][\xa1-\xfe])*/g,
    ofBytes: true,
  },
  { encoding: "windows-1251", usual: CYRILLIC },
  { encoding: "koi8-r", usual: CYRILLIC },
  { encoding: "windows-1253", usual: GREEK },
  { encoding: "euc-kr", usual: /[\xb0-\xc8][\xa1-\xfe]/g, ofBytes: true },
  { encoding: "gb18030", usual: /[\xa1\xa3\xb0-\xd7][\xa1-\xfe]/g, ofBytes: true },
  { encoding: "shift_jis", usual: /[\x82\x83\x88-\x97][\x40-\xfc]|\x81[\x40-\x5b\x75-\x78]/g, ofBytes: true },
  { encoding: "big5", usual: /[\xa1\xa4-\xc6][\x40-\x7e\xa1-\xfe]/g, ofBytes: true },
];

const highOf = (text: string) => text.replace(/[^\x80-\uffff]/g, "");

/** Share of the non-ASCII characters that the pattern matches. */
function scoreOf(bytes: Uint8Array, raw: string, { encoding, usual, ofBytes }: Guess): number {
  const text = decodeAs(bytes, encoding);
  if (text === undefined) return 0;
  const seen = ofBytes ? raw : text;
  return highOf((seen.match(usual) ?? []).join("")).length / highOf(seen).length;
}

/** Guesses UTF-16 or UTF-32 by the zeros beside ASCII characters, whose side tells the byte order. */
function guessWide(bytes: Uint8Array): string | undefined {
  const [a, b, c, d] = [0, 1, 2, 3].map((at) => bytes.some((byte, i) => byte === 0 && i % 4 === at));
  if (b && c && a !== d) return a ? "utf-32be" : "utf-32le";
  if (bytes.length % 2 === 0 && (a || c) !== (b || d)) return a || c ? "utf-16be" : "utf-16le";
  return undefined;
}

/** Number of bytes to examine, up to the end of a word. */
const MAX_BYTES = 1 << 16;

function headOf(bytes: Uint8Array): Uint8Array {
  const head = bytes.subarray(0, MAX_BYTES);
  const end = Math.max(head.lastIndexOf(0x20), head.lastIndexOf(0x0a));
  return bytes.length <= MAX_BYTES ? bytes : head.subarray(0, end + 1);
}

/** Returns the name of the most likely encoding, or `undefined` where none is likely. */
export function guessEncoding(all: Uint8Array): string | undefined {
  const bytes = headOf(all);
  if (bytes.includes(0)) return guessWide(bytes);
  const raw = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  if (raw.includes("\x1b$")) return "iso-2022-jp";
  if (decodeAs(bytes, "utf-8") !== undefined) return "utf-8";
  // few letters of Latin text have accents
  const western = highOf(raw).length < 0.3 * raw.length;
  const guesses = western ? [...WESTERN, ...OTHERS] : [...OTHERS, ...WESTERN];
  const scores = guesses.map((guess) => scoreOf(bytes, raw, guess));
  const best = Math.max(...scores);
  return best > 0.7 ? guesses[scores.indexOf(best)]?.encoding : undefined;
}
