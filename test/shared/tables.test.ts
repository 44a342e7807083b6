/** Tables as spreadsheets, pandas and scripts write them. */

import { type CaptionTableOptions, captionTable, type ImageTextPair } from "clipwright";
import { describe, expect, test } from "vitest";
import { fixture, json } from "../support";

/** Returns `image: caption` of each pair, or its error. */
async function read(table: Parameters<typeof captionTable>[0], options: CaptionTableOptions = {}): Promise<string[]> {
  const out = [];
  const pairs: AsyncIterable<ImageTextPair> = captionTable(table, { images: () => new Uint8Array(), ...options });
  for await (const { key, text, moreTexts = [], error } of pairs) {
    out.push(error ? `${error.code}: ${error.message}` : `${key}: ${[text, ...moreTexts].join(" / ")}`);
  }
  return out;
}

const named = (content: string | Uint8Array<ArrayBuffer>, name: string) => new File([content], name);

describe("users' tables", async () => {
  const expected: Record<string, string[]> = await json("cases/caption-tables/expected.json");
  const table = async (name: string) => named(await fixture(`cases/caption-tables/${name}`), name);

  test.each(Object.entries(expected).filter(([, captions]) => Array.isArray(captions)))(
    "%s",
    async (name, captions) => {
      expect(await read(await table(name))).toEqual(captions.map((caption, i) => `p${i}.png: ${caption}`));
    },
  );

  test("latin1.csv", async () => {
    expect(await read(await table("latin1.csv"))).toEqual([
      'invalid-dataset: row 2: expected text in UTF-8, got probably windows-1252: pass { encoding: "windows-1252" }',
    ]);
    expect(await read(await table("latin1.csv"), { encoding: "latin1" })).toEqual(["p0.png: café in München"]);
  });

  test("unquoted-comma.csv", async () => {
    expect(await read(await table("unquoted-comma.csv"))).toEqual([
      'invalid-dataset: row 2: expected 2 fields, as in the header, got 3: "p0.png", "a red apple", " on a table"; quote fields that contain the separator',
      "p1.png: a pear",
    ]);
  });
});

describe("tables as pandas reads them", async () => {
  const { tables }: { tables: { name: string; text: string; rows: [string, string | null][] }[] } =
    await json("captions/tables.json");

  test.each(tables)("$name", async ({ name, text, rows }) => {
    const got = await read(named(text, name));
    expect(got).toHaveLength(rows.length);
    for (const [i, [picture, caption]] of rows.entries()) {
      // a missing value of pandas is a bad pair
      if (caption === null) expect(got[i]).toMatch(/^invalid-dataset: row \d+: (no caption|expected 2 fields)/);
      else expect(got[i]).toBe(`${picture}: ${caption}`);
    }
  });
});

test.each<[text: string, expected: (string | RegExp)[]]>([
  // Excel's line with the separator
  ["sep=;\r\nfile_name;text\r\na.png;a, b\r\n", ["a.png: a, b"]],
  ['"sep=;"\nfile_name;text\na.png;a, b\n', ["a.png: a, b"]],
  ["SEP=\t\rfile_name\ttext\ra.png\ta, b\r", ["a.png: a, b"]],
  ["\ufeffsep=~\nfile_name~text\na.png~a, b\n", ["a.png: a, b"]],
  ["sep=,\nfile_name,text\na.png\n", ["row 2: expected 2 fields, as in the header, got 1"]],
  // headers
  ["Filepath,TITLE\na.png,a\n", ["a.png: a"]],
  [" File Name ;\tCaption \na.png;a\n", ["a.png: a"]],
  ['\ufeff"file-name","Text"\n"a.png","a"\n', ["a.png: a"]],
  ["\n\n  \nfile_name,text\na.png,a\n", ["a.png: a"]],
  ["url,image,text,caption\nu,a.png,a,b\n", ["a.png: a"]],
  ["text,Text,file_name\na,b,a.png\n", ["a.png: a"]],
  // rows that do not match the header
  ["file_name,text\na.png,a,b\nb.png,b\n", ["row 2: expected 2 fields", "b.png: b"]],
  ["file_name,text\na.png,a,,\nb.png,b, \n", ["a.png: a", "b.png: b"]],
  ["file_name,text,split\na.png,a\nb.png,b,train\n", ["row 2: expected 3 fields", "b.png: b"]],
  ["file_name,text\n,\n , \nb.png,b\n,,,\n", ["b.png: b"]],
  ["file_name,text\n,a\nb.png,b\n", ["row 2: no image name", "b.png: b"]],
  ["text,file_name\na, b,a.png\nb,b.png\n", ["row 2: expected 2 fields", "b.png: b"]],
  ['file_name,text\na.png,"NA"\nb.png, null \n', ["a.png: NA", "row 3: no caption: null stands for a missing value"]],
  // quotes that belong to the caption, and unclosed quotes
  ['file_name,text\na.png,"Best" dog "ever"\nb.png,b\n', ['a.png: "Best" dog "ever"', "b.png: b"]],
  ['file_name,text\na.png,""Best"" dog\nb.png,b\n', ['a.png: ""Best"" dog', "b.png: b"]],
  ['file_name,text\na.png,"Best" dog, ever\nb.png,b\n', ["row 2: expected 2 fields", "b.png: b"]],
  ['file_name,text\na.png,"a "big", old dog"\nb.png,b\n', [/^.*row 2: a quote is not closed/, "b.png: b"]],
  ['file_name,text\na.png,"open\nb.png,b\n', ["row 2: a quote is not closed", "b.png: b"]],
  ['file_name,text\na.png,"open\nb.png,"b"\nc.png,c\n', ["row 2: a quote is not closed", "b.png: b", "c.png: c"]],
  ['file_name,text\na.png,"5" pipe"\nb.png,b\n', ["row 2: a quote is not closed", "b.png: b"]],
  ['file_name,text\na.png,"a \\"big\\" dog"\nb.png,b\n', ["row 2: a quote is not closed", "b.png: b"]],
  [
    'file_name,text\na.png,"a said\n"b" and c"\nb.png,b\n',
    ["row 2: a quote is not closed", "row 3: a quote is not closed", "b.png: b"],
  ],
  ['file_name,text\na.png,"a" \nb.png,"b"\t\n', ["a.png: a", "b.png: b"]],
  ['file_name,text\na.png,"', ["row 2: a quote is not closed"]],
  [
    'file_name,text\na.png,"open\nb.png,b"\nc.png,c\n',
    ['row 2: a quote is not closed: the caption contains the row "b.png,b"', "c.png: c"],
  ],
  [
    'file_name,text\na.png,"a cat, big\nand black, on a mat.\nYes, it is"\n',
    ["a.png: a cat, big\nand black, on a mat.\nYes, it is"],
  ],
  // several captions of one image
  ["file_name,text\na.png,a\nb.png,b\na.png,c\na.png,\n", ["a.png: a / c", "b.png: b", "row 5: no caption"]],
  ["file_name,text\na.png,a\0b\nb.png,b\n", ["row 2: invalid character U+0000", "b.png: b"]],
])("the table %j", async (text, expected) => {
  const got = await read(named(text, "a.csv"));
  expect(got).toHaveLength(expected.length);
  for (const [i, wanted] of expected.entries()) {
    if (typeof wanted === "string" && /^\S+: /.test(wanted)) expect(got[i]).toBe(wanted);
    else if (typeof wanted === "string") expect(got[i]).toContain(`invalid-dataset: ${wanted}`);
    else expect(got[i]).toMatch(wanted);
  }
});

test.each<[name: string, text: string, expected: string[]]>([
  [
    "a.jsonl",
    '{"file_name":"a.png","text":"a"}\r\n\r\n{"file_name":"b.png","text":["b"," ","c"]}',
    ["a.png: a", "b.png: b / c"],
  ],
  ["a.ndjson", '{"image":"a.png","Caption":"a"}\n', ["a.png: a"]],
  ["", '{"path":"a.png","title":"a"}\r{"path":"b.png","title":"b"}', ["a.png: a", "b.png: b"]],
  ["a.json", '[{"file_name":"a.png","text":"a"},\n {"file_name":"b.png","text":"b"}]', ["a.png: a", "b.png: b"]],
  ["a.json", '{"file_name":"a.png","text":"a"}\n{"file_name":"b.png","text":"b"}', ["a.png: a", "b.png: b"]],
  [
    "a.jsonl",
    '{"file_name":"a.png","text":"a"}\n{"file_name":\n{"file_name":"b.png","text":"b"}',
    ["a.png: a", "line 2: invalid JSON", "b.png: b"],
  ],
  [
    "a.jsonl",
    '{"file_name":"a.png","text":NaN}\n{"file_name":"b.png","text":"b"}',
    ["line 1: invalid JSON", "b.png: b"],
  ],
  [
    "a.jsonl",
    '7\n[1]\nnull\n{"file_name":"b.png","text":"b"}',
    [
      "line 1: expected an object, got number",
      "line 2: expected an object, got Array",
      "line 3: expected an object, got null",
      "b.png: b",
    ],
  ],
  [
    "a.jsonl",
    '{"file_name":"a.png","text":7}\n{"file_name":"b.png","text":"b"}',
    ["line 1: expected captions as text, got number", "b.png: b"],
  ],
  [
    "a.jsonl",
    '{"file_name":"a.png","text":null}\n{"file_name":"b.png","text":["b",7]}',
    ["line 1: expected captions as text, got null", "line 2: expected captions as text, got number"],
  ],
  [
    "a.jsonl",
    '{"file_name":{"path":"a.png"},"text":"a"}\n{"file_name":" ","text":"a"}',
    ["line 1: expected an image name, got Object", "line 2: no image name"],
  ],
  [
    "a.jsonl",
    '{"file_name":"a.png"}\n{"file_name":"b.png","text":"b"}',
    ['line 1: expected a column text or caption or title, got "file_name"', "b.png: b"],
  ],
  [
    "a.jsonl",
    '{"file_name":"a.png","text":"\\ud83d"}\n{"file_name":"b.png","text":"\\u0000"}',
    ["line 1: invalid character U+D83D", "line 2: invalid character U+0000"],
  ],
  [
    "a.jsonl",
    '{"file_name":"\\ud83d.png","text":"a"}\n{"file_name":"\\u0000","text":"b"}',
    ["line 1: invalid character U+D83D", "line 2: invalid character"],
  ],
  ["a.json", '[{"file_name":"a.png","text":"a"},7]', ["a.png: a", "item 2: expected an object, got number"]],
])("JSON in %j: %j", async (name, text, expected) => {
  const got = await read(name === "" ? new Blob([text]) : named(text, name));
  expect(got).toHaveLength(expected.length);
  for (const [i, wanted] of expected.entries()) {
    if (/^\S+: /.test(wanted)) expect(got[i]).toBe(wanted);
    else expect(got[i]).toContain(`invalid-dataset: ${wanted}`);
  }
});

test.each<[content: string, message: RegExp, options?: CaptionTableOptions]>([
  ["", /expected a column file_name or .*, got no columns/],
  ["a.png,a cat\nb.png,a dog\n", /expected a column file_name or .*, got "a.png", "a cat"/],
  ["file_name,text,text\na.png,a,b\n", /expected one column text, got 2: "text", "text"/],
  ["file_name,Text,TEXT\na.png,a,b\n", /expected one column text, got 2: "Text", "TEXT"/],
  ["file_name,text\na.png,a\n", /expected a column alt, got "file_name", "text"/, { captionColumn: "alt" }],
  ["file_name,text\na.png,a\n", /expected a column File, got "file_name", "text"/, { imageColumn: "File" }],
  ["file_name,text\na.png,a\n", /expected a column file_name or .*, got "file_name,text"/, { separator: ";" }],
  ["file_name,title\na.png,a\n", /got "title" for both/, { imageColumn: "title" }],
  ['{"images":[{"id":1}],"annotations":[]}', /expected a column file_name or .*, got "images", "annotations"/],
  ['{"file_name":"a.png"}\n{"file_name":"b.png"}', /line 1: expected a column text or .*, got "file_name"/],
  ["{\n", /line 1: invalid JSON/],
  ["PAR1\x15\x04\x15", /got a Parquet table/],
  ["PK\x03\x04\x14\0", /got a zip archive \(an Excel workbook\? save it as CSV\)/],
  ["\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", /got an Excel workbook/],
  ["<!DOCTYPE html><html></html>", /got a web page/],
  ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", /got a Git LFS pointer/],
  ["\x1f\x8b\x08\0", /cannot unpack the gzip file/],
  ["f\0i\0l\0e\0_\0n\0a\0m\0e\0,\0t\0e\0x\0t\0\n\0", /got probably utf-16le/],
  ["caf\xe9,text\na.png,a\n", /got probably windows-1252: pass \{ encoding: "windows-1252" \}/],
])("the table %j is refused", async (content, message, options = {}) => {
  const bytes = Uint8Array.from(content, (character) => character.charCodeAt(0));
  await expect(read(bytes, options)).rejects.toMatchObject({
    code: "invalid-dataset",
    message: expect.stringMatching(message),
  });
});

test.each([
  { separator: "" },
  { separator: "x".repeat(101) },
  { separator: '"' },
  { separator: "\n" },
  { captionColumn: "" },
  { imageColumn: 1 },
])("the option %j is refused", async (options) => {
  const run = read("file_name,text\n", options as CaptionTableOptions);
  await expect(run).rejects.toMatchObject({ code: "invalid-option" });
});

test("separators and columns may be any of the table's", async () => {
  const options = { separator: "::", imageColumn: "b", captionColumn: "a" };
  expect(await read(named("a::b\na:b,c::a.png\n", "a.csv"), options)).toEqual(["a.png: a:b,c"]);
  // the caller's separator takes precedence
  expect(await read(named("sep=,\nfile_name;text\na.png;a\n", "a.csv"), { separator: ";" })).toEqual(["a.png: a"]);
});

test("a gzipped table is unpacked", async () => {
  const packed = new Blob(["file_name,text\na.png,a\n"]).stream().pipeThrough(new CompressionStream("gzip"));
  expect(await read(packed)).toEqual(["a.png: a"]);
});

test("UTF-8 lines among Windows-1252 are read as UTF-8", async () => {
  const lines = ["file_name,text", "a.png,caf\xe9", "b.png,caf\xc3\xa9", "c.png,\x93c\x94", ""].join("\n");
  const bytes = Uint8Array.from(lines, (character) => character.charCodeAt(0));
  expect(await read(bytes, { encoding: "l1" })).toEqual(["a.png: café", "b.png: café", "c.png: “c”"]);
});

test("a row split inside a character of another encoding names the encoding", async () => {
  // the second byte of some Shift JIS characters is |
  const bytes = Uint8Array.from("file_name|text\na.png|\x83|\x83\x4c\nb.png|b\n", (character) =>
    character.charCodeAt(0),
  );
  expect(await read(bytes)).toEqual([
    expect.stringMatching(/^invalid-dataset: row 2: expected text in UTF-8/),
    "b.png: b",
  ]);
  expect(await read(bytes, { encoding: "shift_jis" })).toEqual(["a.png: ポキ", "b.png: b"]);
});

test("lines in another encoding are bad pairs, the others are read", async () => {
  const text = 'file_name,text,author\na.png,"caf\xe9,\nM\xfcnchen",x\nb.png,b,Zo\xeb\ncaf\xe9.png,c,x\nd.png,d,x\n';
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const message = 'expected text in UTF-8, got probably windows-1252: pass { encoding: "windows-1252" }';
  expect(await read(bytes)).toEqual([
    `invalid-dataset: row 2: ${message}`,
    "b.png: b",
    `invalid-dataset: row 4: ${message}`,
    "d.png: d",
  ]);
  const whole = ["a.png: café,\nMünchen", "b.png: b", "café.png: c", "d.png: d"];
  expect(await read(bytes, { encoding: "windows-1252" })).toEqual(whole);
});
