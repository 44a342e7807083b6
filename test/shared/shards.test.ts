/** Users' tar files, compared with Python's webdataset. */

import { ClipTrainer, type ImageTextPair, webDataset } from "clipwright";
import { packTar } from "modern-tar";
import { describe, expect, test } from "vitest";
import { all, brief } from "../folders";
import { fixture, inBrowser, json, tinyConfig } from "../support";

const SIGNATURE = "\x89PNG\r\n\x1a\n";
const encode = (text: string) => new TextEncoder().encode(text);
const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));

interface Golden {
  names: { members: string[]; pairs: [key: string, picture: string, text: string][] }[];
  braces: Record<string, string[]>;
  formats: Record<string, string>;
}
const golden: Golden = await json("cases/webdataset/golden.json");

/** Makes an image or a caption that contains its name. */
const bodyOf = (name: string) =>
  /\.txt$/i.test(name) ? encode(`caption of ${name}`) : new Uint8Array([...latin1(SIGNATURE), ...encode(name)]);

type Entry = Parameters<typeof packTar>[0][number];
const entry = (name: string, body: Uint8Array = bodyOf(name)): Entry => ({
  header: { name, size: body.length, type: "file" },
  body,
});
const tarOf = async (...entries: (Entry | string)[]) =>
  (await packTar(entries.map((each) => (typeof each === "string" ? entry(each) : each)))) as Uint8Array<ArrayBuffer>;

const joined = (...parts: Uint8Array[]) => new Uint8Array(parts.flatMap((part) => [...part]));
const gzip = async (bytes: Uint8Array<ArrayBuffer>) =>
  new Uint8Array(
    await new Response(new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"))).arrayBuffer(),
  );

const nameIn = ({ image }: ImageTextPair) => new TextDecoder().decode((image as Uint8Array).subarray(8));

describe("users' shards", () => {
  const dotted = (stem: string, key: string) =>
    `no sample: ${stem}.png, ${stem}.txt: the key ${key} ends at the first dot of the file name; remove other dots than that of the extension`;

  test.each<[string, [string, string][]]>([
    [
      "webdataset/dots.tar",
      [
        ["22.05", dotted("22.05", "22")],
        ["22.06", dotted("22.06", "22")],
      ],
    ],
    [
      "webdataset/some-dots.tar",
      [
        ["0001", "a red square"],
        ["Track 2.0 (live)", dotted("Track 2.0 (live)", "Track 2")],
        ["0003", "a blue square"],
      ],
    ],
    [
      "webdataset/joined.tar",
      [
        ["v1.2/0001", "a red square"],
        ["22.05", dotted("22.05", "22")],
        ["22.06", dotted("22.06", "22")],
      ],
    ],
    ["webdataset/utf16-caption.tar", [["0001", "a red square"]]],
    ["webdataset/no-end.tar", [["./0001", "a red square"]]],
    ["webdataset/gz.tar.gz", [["0001", "a red square"]]],
    ["unicode-names/mixed.tar", [["Café München", "a cafe"]]],
  ])("%s", async (name, expected) => {
    expect(brief(await all(webDataset(await fixture(`cases/${name}`))))).toEqual(expected);
  });
});

test("a run skips and reports names with dots; with nothing else it fails, and names them", async () => {
  const [dots, some] = [await fixture("cases/webdataset/dots.tar"), await fixture("cases/webdataset/some-dots.tar")];
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const options = { epochs: 1, batchSize: 2, badPairs: "skip" } as const;
  for await (const { skipped } of trainer.fit(() => webDataset([some, dots]), options)) {
    expect(skipped?.map(({ key, index }) => [index, key])).toEqual([
      [1, "Track 2.0 (live)"],
      [3, "22.05"],
      [4, "22.06"],
    ]);
  }
  const run = trainer.fit(() => webDataset(dots), options).next();
  await expect(run).rejects.toThrow(/22\.05\.png, 22\.05\.txt.*22\.06\.png, 22\.06\.txt/);
  trainer.dispose();
});

test.each(golden.names.map((each) => [each.members.join(" "), each] as const))("%s", async (_, { members, pairs }) => {
  const got = await all(webDataset(await tarOf(...members)));
  const good = got.filter(({ error }) => !error);
  expect(good.map((pair) => [pair.key, nameIn(pair), pair.text])).toEqual(pairs);
  // the others are reported by name or key
  const reports = got.filter(({ error }) => error).map(({ key, error }) => `${key} ${error?.message}`);
  const used = new Set(pairs.flatMap(([key, picture, text]) => [key, picture, text.replace("caption of ", "")]));
  for (const name of members) {
    const [key = name] = /^(?:.*\/)?[^.]+/.exec(name.replace(/^\.\//, "")) ?? [];
    const isPart = /\.(txt|png|jpe?g|webp)$/i.test(name) && !name.startsWith("__");
    // further images and captions of a complete sample are not reported
    const beside = used.has(key) || used.has(`./${key}`);
    if (isPart && !used.has(name) && !beside) expect(reports.join("\n"), name).toContain(key);
  }
});

test.each(Object.entries(golden.formats))("names in a tar of the format %s", async (kind, key) => {
  const file = await fixture(`cases/webdataset/formats/${kind}.tar.gz`);
  expect(brief(await all(webDataset(file)))).toEqual([[key.normalize("NFC"), "a caption"]]);
});

test("archives may be concatenated, compressed, and end in any number of zeros", async () => {
  const [a, b] = [await tarOf("1.png", "1.txt"), await tarOf("2.png", "2.txt")];
  const both = [
    ["1", "caption of 1.txt"],
    ["2", "caption of 2.txt"],
  ];
  const withoutEnd = a.slice(0, a.length - 1024);
  const zeros = (count: number) => new Uint8Array(count);
  for (const bytes of [
    joined(a, b),
    joined(withoutEnd, b),
    joined(withoutEnd, zeros(512), b),
    joined(a, zeros(9216), b, zeros(9216)),
    joined(withoutEnd, b.slice(0, b.length - 1024)),
    await gzip(joined(a, b)),
  ]) {
    expect(brief(await all(webDataset(bytes)))).toEqual(both);
  }
  // an end marker between image and caption does not separate them
  const halves = joined(await tarOf("1.png"), await tarOf("1.txt"));
  expect(brief(await all(webDataset(halves)))).toEqual([["1", "caption of 1.txt"]]);
  expect(brief(await all(webDataset([a, b])))).toEqual(both);
});

test.each<[string, string, Uint8Array<ArrayBuffer> | string]>([
  ["an empty file", "an empty file", ""],
  ["a zip archive", "a zip archive", "PK\x03\x04rest"],
  ["an empty zip archive", "a zip archive", "PK\x05\x06".padEnd(600, "\0")],
  ["bzip2", "a bzip2 archive", "BZh91AY&SY"],
  ["xz", "an xz archive", "\xfd7zXZ\0\0\x04"],
  ["Zstandard", "a Zstandard archive", "\x28\xb5\x2f\xfd\x04\x58".padEnd(700, "x")],
  ["7z", "a 7z archive", "7z\xbc\xaf\x27\x1c"],
  ["RAR", "a RAR archive", "Rar!\x1a\x07\0"],
  ["Parquet", "a Parquet table", "PAR1\x15\x04"],
  ["a web page", "a web page", "<!doctype html><html></html>".padEnd(2000)],
  ["a Git LFS pointer", "a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:ab"],
  ["an image", "an image in the format PNG", SIGNATURE.padEnd(600, "\0")],
  ["text", "text", "no tar at all ".repeat(60)],
])("%s is named", async (_, what, content) => {
  const bytes = typeof content === "string" ? latin1(content) : content;
  const run = all(webDataset(bytes));
  await expect(run).rejects.toMatchObject({
    code: "invalid-dataset",
    message: expect.stringContaining(`expected a tar file, got ${what}`),
  });
  const file = new File([bytes], "shard.tar");
  await expect(all(webDataset([await tarOf("1.png", "1.txt"), file]))).rejects.toThrow(/^shard\.tar: /);
});

test.each<[string, (whole: Uint8Array<ArrayBuffer>) => Uint8Array<ArrayBuffer>, RegExp]>([
  ["cut inside a member", (whole) => whole.slice(0, 700), /truncated tar: 324 bytes of 1\.png are missing/],
  ["with a truncated header", (whole) => whole.slice(0, 1024 + 100), /truncated tar: expected a header/],
  [
    "with rubbish after its end",
    (whole) => joined(whole, latin1("rubbish ".repeat(64))),
    /header at byte 3072, got text/,
  ],
  ["with a corrupt header", (whole) => whole.with(1030, 65), /header at byte 1024/],
])("a tar %s is refused", async (_, change, message) => {
  const run = all(webDataset(change(await tarOf("1.png", "1.txt")) as Uint8Array<ArrayBuffer>));
  await expect(run).rejects.toMatchObject({ code: "invalid-dataset", message: expect.stringMatching(message) });
});

test("concatenated gzip files are read, or refused where the platform stops at the first", async () => {
  const parts = [await gzip(await tarOf("1.png", "1.txt")), await gzip(await tarOf("2.png", "2.txt"))];
  const run = all(webDataset(joined(...parts)));
  if (inBrowser) await expect(run).rejects.toMatchObject({ code: "invalid-dataset" });
  else expect((await run).map(({ key }) => key)).toEqual(["1", "2"]);
});

test("a truncated gzip file is refused", async () => {
  const whole = await gzip(await tarOf(entry("1.png", crypto.getRandomValues(new Uint8Array(4000))), "1.txt"));
  await expect(all(webDataset(whole.slice(0, whole.length - 200)))).rejects.toMatchObject({ code: "invalid-dataset" });
});

test("each group is a sample as in webdataset, and incomplete ones are reported", async () => {
  const link: Entry = { header: { name: "7.png", size: 0, type: "link", linkname: "1.png" } };
  const got = await all(
    webDataset(
      await tarOf(
        "1.png",
        "2.json",
        "1.txt",
        "3.jfif",
        "3.txt",
        "4",
        "4.txt",
        "5.bin",
        "5.txt",
        "README",
        "README.txt",
        "6.png",
        "6.jpg",
        "6.txt",
        link,
        "7.txt",
        "8.png",
        "8.PNG",
        "8.txt",
        "._9.png",
        "9.png",
        "__MACOSX/._9.png",
        ".DS_Store",
        "9.txt",
        entry("10.png", latin1("\0\0\0\x18ftypheic\0\0\0\0mif1heic")),
        "10.txt",
        entry("11.jpg", encode("<html></html>")),
        "11.txt",
        "12.png",
        "12.depth.png",
        "12.en.txt",
        "12.txt",
        entry("13.xyz", encode("neither")),
        "13.txt",
      ),
    ),
  );
  const problem = (got: string) => `: expected an image (PNG, JPEG, WebP, GIF or BMP), got ${got}`;
  const imageless = "caption without an image (.png, .jpg, .webp)";
  expect(brief(got)).toEqual([
    ["1", "image without a caption (.txt)"],
    ["1", imageless],
    ["3", "caption of 3.txt"],
    ["4", "caption of 4.txt"],
    ["5", "caption of 5.txt"],
    ["README", "caption of README.txt"],
    ["6", "caption of 6.txt"],
    ["6.png", "more than one image in the sample: 6.jpg and 6.png"],
    ["7", "7.png: a link to 1.png has no bytes in the tar"],
    ["8", "duplicate names: 8.png, 8.PNG, 8.txt"],
    ["9", "caption of 9.txt"],
    inBrowser ? ["10", "caption of 10.txt"] : ["10", `10.png${problem("HEIC, which cannot be decoded here")}`],
    ["11", `11.jpg${problem("a web page")}`],
    ["12", "caption of 12.txt"],
    ["13", imageless],
  ]);
  expect(nameIn(got[6] as ImageTextPair)).toBe("6.jpg");
  expect(brief(await all(webDataset(await tarOf("1.png", "1.txt", "README.txt", "LICENSE.txt"))))).toHaveLength(1);
});

test("members after a large ignored member are read", async () => {
  const large = new Uint8Array(3_000_000);
  const shard = await tarOf(
    entry("0.json", large),
    entry("0.xyz", large),
    "1.png",
    "1.txt",
    entry("1.npy", large),
    "2.png",
    "2.txt",
  );
  const got = await all(webDataset(shard));
  expect(got.map(({ key }) => key)).toEqual(["1", "2"]);
});

test("braces in names expand as in braceexpand", async () => {
  if (inBrowser) return;
  const { mkdtemp, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  for (const [pattern, names] of Object.entries(golden.braces)) {
    const folder = await mkdtemp(`${tmpdir()}/clipwright-shards-`);
    for (const name of new Set(names)) {
      await writeFile(`${folder}/${name}`, await tarOf(entry("1.png"), entry("1.txt", encode(name))));
    }
    const got = await all(webDataset(`${folder}/${pattern}`));
    expect(
      got.map(({ text }) => text),
      pattern,
    ).toEqual(names);
  }
});

test.each([
  "{3..1}.tar",
  "{c..a}.tar",
  "{a,b.tar",
  "a}.tar",
  "{{a,b}.tar",
  "{0..99999999}.tar",
  "{0..999}{0..999}.tar",
])("the name %s is refused", async (name) => {
  const run = all(webDataset(name));
  await expect(run).rejects.toMatchObject({
    code: "invalid-option",
    message: expect.stringMatching(/^invalid option shards: expected /),
  });
});
