/** Captions in every encoding, from every kind of source. */

import {
  type CaptionOptions,
  ClipTrainer,
  captionTable,
  type ImageTextPair,
  imageFolder,
  webDataset,
} from "clipwright";
import { packTar } from "modern-tar";
import { describe, expect, test } from "vitest";
import { colourPairs, fixture, json, tinyConfig } from "../support";

type Bytes = Uint8Array<ArrayBuffer>;

const bytesOf = (base64: string): Bytes => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
const concat = (...parts: Bytes[]): Bytes => Uint8Array.from(parts.flatMap((part) => [...part]));

/** ASCII text in the encoding of a byte order mark: every encoding but UTF-16 contains ASCII unchanged. */
function ascii(text: string, encoding: string): Bytes {
  const codes = Array.from(text, (character) => character.charCodeAt(0));
  if (encoding === "utf-16le") return Uint8Array.from(codes.flatMap((code) => [code, 0]));
  if (encoding === "utf-16be") return Uint8Array.from(codes.flatMap((code) => [0, code]));
  return Uint8Array.from(codes);
}

const header = (name: string, { length: size }: Bytes) => ({ name, size, type: "file" as const });

/** Reads one pair whose caption is given as bytes after a byte order mark. */
const sources: Record<
  string,
  (mark: Bytes, caption: Bytes, encoding: string, options: CaptionOptions) => AsyncIterable<ImageTextPair>
> = {
  folder: (mark, caption, _, options) =>
    imageFolder([new File(["P"], "a.png"), new File([concat(mark, caption)], "a.txt")], options),
  async *tar(mark, caption, _, options) {
    const [picture, text] = [ascii("P", ""), concat(mark, caption)];
    const entries = [
      { header: header("a.png", picture), body: picture },
      { header: header("a.txt", text), body: text },
    ];
    yield* webDataset(await packTar(entries), options);
  },
  csv: (mark, caption, encoding, options) => {
    const [before, after] = ['file_name,text\r\na.png,"', '"\r\n'].map((text) => ascii(text, encoding));
    return captionTable(new Blob([mark, before as Bytes, caption, after as Bytes]), options);
  },
  tsv: (mark, caption, encoding, options) => {
    const [before, after] = ["text\tfile_name\n", "\ta.png\n"].map((text) => ascii(text, encoding));
    return captionTable(new File([mark, before as Bytes, caption, after as Bytes], "a.tsv"), options);
  },
  jsonl: (mark, caption, encoding, options) => {
    const [before, after] = ['{"file_name": "a.png", "text": "', '"}\n'].map((text) => ascii(text, encoding));
    return captionTable(new File([mark, before as Bytes, caption, after as Bytes], "a.jsonl"), options);
  },
  "table of a folder": (mark, caption, encoding, options) => {
    const [before, after] = ["file_name;text\ra.png;", "\r"].map((text) => ascii(text, encoding));
    const table = new File([mark, before as Bytes, caption, after as Bytes], "metadata.csv");
    return imageFolder([new File(["P"], "a.png"), table], options);
  },
};

/** Captions and error messages. */
async function outcome(pairs: AsyncIterable<ImageTextPair>): Promise<string[]> {
  const out = [];
  try {
    for await (const { text, error } of pairs) out.push(error ? `${error.code}: ${error.message}` : text);
  } catch (error) {
    out.push(`${(error as { code: string }).code}: ${(error as Error).message}`);
  }
  return out;
}

interface Encoded {
  encoding: string;
  text: string;
  bytes: string;
}
const { plain, marked, refused }: Record<"plain" | "marked" | "refused", Encoded[]> =
  await json("captions/encodings.json");
const none: Bytes = new Uint8Array();

describe.each(Object.keys(sources))("captions of a %s", (name) => {
  const read = sources[name] as NonNullable<(typeof sources)[string]>;

  test.each(plain)("in $encoding: $text", async ({ encoding, text, bytes }) => {
    expect(await outcome(read(none, bytesOf(bytes), encoding, { encoding }))).toEqual([text]);
    const [undeclared, ...rest] = await outcome(read(none, bytesOf(bytes), encoding, {}));
    expect(rest).toEqual([]);
    if (encoding === "utf-8") return expect(undeclared).toBe(text);
    expect(undeclared).toMatch(/^invalid-dataset: .*expected text in UTF-8, got probably /);
    expect(undeclared).toContain(`pass { encoding: "${encoding}" }`);
  });

  test.each(marked)("with the byte order mark of $encoding: $text", async ({ encoding, text, bytes }) => {
    // the mark begins the file
    const length = encoding === "utf-8" ? 3 : 2;
    const [mark, caption] = [bytesOf(bytes).slice(0, length), bytesOf(bytes).slice(length)];
    expect(await outcome(read(mark, caption, encoding, {}))).toEqual([text]);
    // as in HTML, the mark takes precedence
    expect(await outcome(read(mark, caption, encoding, { encoding: "windows-1252" }))).toEqual([text]);
  });

  test("with an unknown encoding", async () => {
    const encoding = "latin-9000";
    expect(await outcome(read(none, none, "utf-8", { encoding }))).toEqual([
      expect.stringMatching(/^invalid-option: invalid option encoding: .* got "latin-9000"$/),
    ]);
    expect(await outcome(read(none, none, "utf-8", { encoding: 3 as unknown as string }))).toEqual([
      expect.stringMatching(/^invalid-option: .* got 3$/),
    ]);
  });

  test("with the wrong encoding", async () => {
    const [text] = await outcome(read(none, bytesOf("YXCB/w=="), "utf-8", { encoding: "shift_jis" }));
    expect(text).toMatch(/^invalid-dataset: .*expected text in SHIFT_JIS, got/);
    const [utf8] = await outcome(read(none, bytesOf("Y2Fmw6kg4oCT"), "utf-8", { encoding: "shift_jis" }));
    expect(utf8).toMatch(/^invalid-dataset: .*expected text in SHIFT_JIS, got probably utf-8/);
    // 0x81 is undefined
    expect((await outcome(read(none, bytesOf("YXCB"), "utf-8", { encoding: "latin1" })))[0]).toMatch(
      /^invalid-dataset/,
    );
  });

  test("with U+0000 in them", async () => {
    expect(await outcome(read(none, ascii("a\0b", ""), "utf-8", {}))).toEqual([
      expect.stringMatching(/^invalid-dataset: .*(U\+0000|invalid JSON|expected text in UTF-8)/),
    ]);
  });
});

test.each(refused)("a caption in $encoding is refused by that name", async ({ encoding, bytes }) => {
  const read = sources.folder as NonNullable<(typeof sources)[string]>;
  const [got] = await outcome(read(none, bytesOf(bytes), encoding, {}));
  expect(got).toMatch(new RegExp(`^invalid-dataset: .* ${encoding}`));
});

test("each byte of Windows-1252 decodes as in Python", async () => {
  const expected: (string | null)[] = await json("captions/windows-1252.json");
  const read = sources.folder as NonNullable<(typeof sources)[string]>;
  for (const [i, character] of expected.entries()) {
    const [got] = await outcome(read(none, Uint8Array.of(0x61, 0x80 + i, 0x62), "", { encoding: "windows-1252" }));
    if (character === null) expect(got).toMatch(/^invalid-dataset/);
    else expect(got).toBe(`a${character}b`);
  }
});

test("captions of users' files", async () => {
  const names = ["cp1252", "utf16"].flatMap((name) => [`${name}.png`, `${name}.txt`]);
  const files = await Promise.all(
    names.map(async (name) => new File([await fixture(`cases/caption-encodings/${name}`)], name)),
  );
  const [first, second] = await outcome(imageFolder(files));
  expect(first).toMatch(/windows-1252/);
  expect(second).toBe("café in München");
  expect(await outcome(imageFolder(files, { encoding: "windows-1252" }))).toEqual([
    "café in München",
    "café in München",
  ]);
  expect(await outcome(webDataset(await fixture("cases/webdataset/utf16-caption.tar")))).toEqual(["a red square"]);
});

test("the encoding of a long text is guessed from its beginning", async () => {
  const read = sources.folder as NonNullable<(typeof sources)[string]>;
  const long = ascii("caf\xe9 in M\xfcnchen ".repeat(1e5), "");
  expect(await outcome(read(none, long, "", {}))).toEqual([expect.stringContaining("probably windows-1252")]);
  const kanji = concat(...Array.from({ length: 3e4 }, () => Uint8Array.of(0x93, 0x8c, 0x8b, 0x9e, 0x20)));
  expect(await outcome(read(none, kanji, "", {}))).toEqual([expect.stringContaining("probably shift_jis")]);
});

test("captions given as strings are checked for invalid characters", async () => {
  const [first, second] = colourPairs(2);
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const pairs = [first, { ...first, text: "a\0b" }, { ...first, text: "a", moreTexts: ["\ud83d"] }, second];
  const options = { epochs: 1, batchSize: 2, badPairs: "skip" } as const;
  const { value } = await trainer.fit(pairs as ImageTextPair[], options).next();
  expect(value?.skipped).toMatchObject([
    { index: 1, code: "invalid-dataset", message: expect.stringMatching(/U\+0000/) },
    { index: 2, code: "invalid-dataset", message: expect.stringMatching(/U\+D83D/) },
  ]);
  trainer.dispose();
});
