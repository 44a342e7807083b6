/** The native program reads data sets as the package does: the same pairs in the same order, and the same ones refused. */

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { captionTable, type ImageTextPair, imageFolder, webDataset } from "clipwright";
import { expect, test } from "vitest";
import { clipwright, folder } from "./native-program";

const fixture = (path: string) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
/** A pair: its name, its captions where they are compared, and the code of its error. */
interface Read {
  key: string;
  captions?: string[];
  code?: string;
}

/** Codes of images that only the native program opens here. */
const OF_IMAGES = ["source-unreadable", "undecodable-image", "image-too-small", "image-too-large"];

async function readByPackage(pairs: AsyncIterable<ImageTextPair>): Promise<Read[]> {
  const read: Read[] = [];
  try {
    for await (const { key = "", text, moreTexts = [], error } of pairs) {
      read.push(error ? { key, code: error.code } : { key, captions: [text, ...moreTexts] });
    }
  } catch (error) {
    read.push({ key: "", code: (error as { code: string }).code });
  }
  return read;
}

/** Reads JSON lines; none if there is no such file. */
function lines(file: string): Record<string, unknown>[] {
  const text = existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : "";
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

let outputs = 0;
async function readNatively(data: string, flags: string[]): Promise<Read[]> {
  const out = `out-${outputs++}`;
  const model = fixture("models/clip-gelu-p16-eos/hf");
  const args = ["embed", model, "--data", data, "--out", join(folder, out), "--device", "cpu", ...flags];
  const failed = (await clipwright(args, { mayFail: true })).find(({ type }) => type === "error");
  const name = (end: string) => readdirSync(join(folder, out)).find((file) => file.endsWith(end)) ?? "none";
  const rows = lines(join(out, name("0.jsonl")));
  const skipped = lines(join(out, name(".skipped.jsonl")));
  const read: Read[] = [];
  for (let i = 0; i < rows.length + skipped.length; i++) {
    const bad = skipped.find(({ index }) => index === i);
    const { key, captions, code } = (bad ??
      rows[i - skipped.filter(({ index }) => (index as number) < i).length]) as never;
    read.push(bad ? { key, code } : { key, captions });
  }
  return failed ? [...read, { key: "", code: failed.code }] : read;
}

async function compare(pairs: AsyncIterable<ImageTextPair>, data: string, ...flags: string[]) {
  const expected = await readByPackage(pairs);
  const got = await readNatively(data, flags);
  // an image that cannot be decoded is found here by the native program alone
  const opened = got.map((pair, i) => (OF_IMAGES.includes(pair.code ?? "") && !expected[i]?.code ? expected[i] : pair));
  expect(opened).toEqual(expected);
  return expected;
}

/** Writes files; returns their folder. */
function made(name: string, files: Record<string, string | Uint8Array>): string {
  const own = join(folder, name);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(own, path, ".."), { recursive: true });
    writeFileSync(join(own, path), content);
  }
  return own;
}

const png = readFileSync(fixture("cases/split-metadata/test/0.png"));
const images = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`p${i}.png`, png]));

test.for(readdirSync(fixture("cases/caption-tables")).filter((name) => /\.[ct]sv$/.test(name)))(
  "the table %s",
  async (name) => {
    const own = made(`tables-${name}`, images);
    cpSync(fixture(`cases/caption-tables/${name}`), join(own, name));
    const table = join(own, name);
    expect((await compare(captionTable(table), table)).length).toBeGreaterThan(0);
    await compare(captionTable(table, { encoding: "latin1" }), table, "--encoding", "latin1");
  },
);

test.for([
  ["surrogate.json", '[{"image": "p0.png", "text": "cut \\ud83d"}, {"image": "p1.png", "text": "b \\ud83d\\ude00"}]'],
  ["numbers.json", '[{"image": "p0.png", "text": "a", "area": 1e999}, {"image": "p1.png", "text": 1e999}]'],
  ["lines.jsonl", '{"image": "p0.png", "text": "\\udfff"}\n{"image": "p1.png", "text": ["a", "b"]}\n{"image"\n\n[]'],
  ["private.csv", "image,text\np0.png,a \u{10ffe9}\np1.png,b \ufdd0\n"],
  ["missing.csv", 'image;text\np0.png;NA\np1.png;"NA"\np2.png;\np9.png;none of that name\np3.png;"open'],
  ["twice.tsv", "image\ttext\np0.png\ta\np0.png\tb\np1.png\tc\td\n"],
  ["columns.csv", "picture,words\np0.png,a\n"],
  ["page.csv", "<!-- a ---> <!doctype html>"],
])("the table %s", async ([name, text]) => {
  const table = join(made(`own-${name}`, { ...images, [name as string]: text as string }), name as string);
  expect((await compare(captionTable(table), table)).length).toBeGreaterThan(0);
});

test("a table whose images are elsewhere", async () => {
  const elsewhere = made("elsewhere", { "a/0.png": png, "a/1.png": "no image" });
  const table = join(made("alone", { "t.csv": "image,text\na/0.png,a\na\\0.png,b\na/1.png,c\nA/0.png,d\n" }), "t.csv");
  await compare(captionTable(table, { images: elsewhere }), table, "--images", elsewhere);
});

test.for([
  ...readdirSync(fixture("cases/webdataset")).filter((name) => name.includes(".tar")),
  ...readdirSync(fixture("cases/webdataset/formats")).map((name) => `formats/${name}`),
])("the shard %s", async (name) => {
  const shard = fixture(`cases/webdataset/${name}`);
  expect((await compare(webDataset(shard), shard)).length).toBeGreaterThan(0);
});

test.for(["caption-encodings", "cut-pictures", "picture-extensions", "split-metadata", "unicode-names"])(
  "the folder %s",
  async (name) => {
    const own = fixture(`cases/${name}`);
    await compare(imageFolder(own), own);
    await compare(imageFolder(own, { captions: "lines" }), own, "--captions", "lines");
  },
);

test("a folder of odd names", async () => {
  const own = made("odd", {
    "a.png": png,
    "a.txt": "one\ntwo",
    "b/c.png": png,
    "b/C.txt": "other",
    "d.jpg": png,
    "d.jpg.txt": "four",
    "README.txt": "about",
    "e.svg": "<!-- a ---><svg>",
    "e.txt": "five",
    f: "<?XML ",
    "f.txt": "six",
    "__MACOSX/g.png": png,
    "__MACOSX-2/g.png": png,
    ".hidden.png": png,
    "h.txt": "alone",
    "é.png": png,
    "e\u0301.txt": "composed",
  });
  await compare(imageFolder(own), own);
});

/** A member of a tar file; `size` is what its header says, where that is not the length of its body. */
interface Member {
  name: string;
  body?: Uint8Array | string;
  type?: string;
  size?: string;
}

const octal = (number: number, length: number) => `${number.toString(8).padStart(length - 1, "0")}\0`;

function member({ name, body = "", type = "0", size }: Member): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write(octal(0o644, 8), 100);
  const bytes = Buffer.from(body as Uint8Array);
  header.write(size ?? octal(bytes.length, 12), 124);
  header.write(" ".repeat(8), 148);
  header.write(type, 156);
  header.write("ustar\x0000", 257, "latin1");
  const sum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(octal(sum, 7), 148);
  return Buffer.concat([header, bytes, Buffer.alloc(-bytes.length & 511)]);
}

/** A pair, without the end of an archive. */
const pair = (key: string, before: Member[] = []) =>
  Buffer.concat(
    [...before, { name: `${key}.png`, body: png }, { name: `${key}.txt`, body: `text of ${key}` }].map(member),
  );
const END = Buffer.alloc(1024);

test.for<[string, Uint8Array]>([
  [
    "links with sizes",
    pair("a", [
      { name: "b.bin", type: "1", size: octal(5000, 12) },
      { name: "c.png", type: "2" },
    ]),
  ],
  ["folders with sizes", pair("a", [{ name: "b/", type: "5", size: octal(5000, 12) }])],
  [
    "sparse files",
    Buffer.concat([member({ name: "a.png", body: png, type: "S" }), member({ name: "a.txt", body: "a" })]),
  ],
  [
    "unknown types",
    Buffer.concat([member({ name: "a.png", body: png, type: "Z" }), member({ name: "a.txt", body: "a" })]),
  ],
  [
    "blank sizes",
    pair("a", [
      { name: "b.bin", size: " ".repeat(12) },
      { name: "c.bin", size: "\0".repeat(12) },
    ]),
  ],
  [
    "hidden members",
    Buffer.concat(["__MACOSX/a", "__MACOSX-2/a", ".a/a", "__index__/a", "b/__c__/a"].map((key) => pair(key))),
  ],
  ["joined archives", Buffer.concat([pair("a"), END, pair("b"), END])],
  ["the same names", Buffer.concat([pair("a"), pair("a"), pair("b")])],
  [
    "dots and images",
    pair("a", [
      { name: "a.depth.png", body: png },
      { name: "a.jpg", body: png },
      { name: "b.c.png", body: png },
    ]),
  ],
  ["a cut body", pair("a").subarray(0, 700)],
  ["a cut header", Buffer.concat([pair("a"), Buffer.from("b.png")])],
  ["no header", Buffer.concat([pair("a"), Buffer.alloc(512, "x")])],
  ["nothing", Buffer.alloc(0)],
  ["padded gzip", Buffer.concat([gzipSync(Buffer.concat([pair("a"), END])), Buffer.alloc(512)])],
  ["two of gzip", Buffer.concat([gzipSync(pair("a")), gzipSync(pair("b"))])],
  ["cut gzip", gzipSync(pair("a")).subarray(0, 60)],
])("a shard of %s", async ([name, bytes]) => {
  const file = `${name.replaceAll(" ", "-")}.tar`;
  const shard = join(made(`shard-${file}`, { [file]: bytes }), file);
  expect((await compare(webDataset(shard), shard)).length).toBeGreaterThan(0);
});

test("a shard without members", async () => {
  const shard = join(made("empty", { "empty.tar": END }), "empty.tar");
  expect(await compare(webDataset(shard), shard)).toEqual([]);
});
