/** Folders as users have them: no image and no caption is lost silently. */

import { ClipTrainer, captionTable, imageFolder, webDataset } from "clipwright";
import { packTar } from "modern-tar";
import { describe, expect, test } from "vitest";
import { all, brief, type Contents, kinds, onDisk, open } from "../folders";
import { fixture, inBrowser, json, tinyConfig } from "../support";

const encode = (text: string) => new TextEncoder().encode(text);
const fromBase64 = (text: string) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

const photo = await fixture("preprocess/images/exif6_120x80.jpg");
const formats: {
  pictures: { format: string; signed: boolean; extensions: string[]; bytes: string }[];
  beginnings: { format: string; extension: string; bytes: string }[];
  extensions: string[];
} = await json("formats/formats.json");

const DECODED = ["PNG", "JPEG", "WebP", "GIF", "BMP"];
// a browser may decode these formats; others are named
const LEFT = inBrowser ? [...DECODED, "AVIF", "HEIC", "HEIF", "JPEG XL", "TIFF"] : DECODED;

async function cases(folder: string, names: readonly string[]): Promise<Contents> {
  const contents: Contents = {};
  for (const name of names) contents[name] = await fixture(`cases/${folder}/${name}`);
  return contents;
}

/** Packs the same files into a shard. */
function shardOf(contents: Contents): Promise<Uint8Array<ArrayBuffer>> {
  const entries = Object.entries(contents).map(([name, content]) => {
    const body = typeof content === "string" ? encode(content) : content;
    return { header: { name, size: body.length, type: "file" as const }, body };
  });
  return packTar(entries) as Promise<Uint8Array<ArrayBuffer>>;
}

/** Returns the skipped pairs of a run, and the number of the others. */
async function trained(pairs: () => ReturnType<typeof imageFolder>) {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  try {
    for await (const { skipped, batchSize } of trainer.fit(pairs, {
      epochs: 1,
      batchSize: 2,
      badPairs: "skip",
      truncate: true,
    })) {
      return { skipped: skipped?.map(({ key, message }) => [key, message]), batchSize };
    }
  } finally {
    trainer.dispose();
  }
  return undefined;
}

describe.each(kinds)("a folder as %s", (kind) => {
  test("has images of all extensions: JPEGs are used, others are named", async () => {
    const names = ["chrome.jfif", "stereo.mpo", "phone.avif", "iphone.HEIC"];
    const files = [...names, "chrome.txt", "stereo.txt", "phone.txt", "iphone.txt"];
    const folder = await open(kind, await cases("picture-extensions", files));
    const run = await trained(() => imageFolder(folder));
    // a browser that decodes AVIF uses it
    const expected = [["iphone", /HEI[CF]/], ...(inBrowser ? [] : [["phone", /phone\.avif: .*AVIF/]])];
    expect(run?.skipped).toEqual(expected.map(([key, message]) => [key, expect.stringMatching(message as RegExp)]));
    const good = brief(await all(imageFolder(folder))).filter(([key]) => key === "chrome" || key === "stereo");
    expect(good).toEqual([
      ["chrome", "caption of chrome.jfif"],
      ["stereo", "caption of stereo.mpo"],
    ]);
  });

  test("has a table in the folder of each split", async () => {
    const names = ["test", "train"].flatMap((split) =>
      ["0.png", "1.png", "metadata.jsonl"].map((name) => `${split}/${name}`),
    );
    const pairs = await all(imageFolder(await open(kind, await cases("split-metadata", names))));
    expect(brief(pairs)).toEqual([
      ["test/0.png", "test caption 0"],
      ["test/1.png", "test caption 1"],
      ["train/0.png", "train caption 0"],
      ["train/1.png", "train caption 1"],
    ]);
  });

  test.each([
    ["metadata.csv.gz", "file_name,text\na.jpg,an a\n"],
    ["captions.TSV.GZ", "file_name\ttext\na.jpg\tan a\n"],
    ["metadata.ndjson", '{"file_name": "a.jpg", "text": "an a"}\n'],
    ["metadata.jsonl.gz", '{"file_name": "a.jpg", "text": "an a"}\n'],
  ])("has its table in %s", async (name, text) => {
    const whole = new Blob([text]).stream();
    const packed = /gz$/i.test(name) ? whole.pipeThrough(new CompressionStream("gzip")) : whole;
    const bytes = new Uint8Array(await new Response(packed).arrayBuffer());
    const folder = await open(kind, { "a.jpg": photo, "a.txt": "what lies beside it", [name]: bytes });
    expect(brief(await all(imageFolder(folder)))).toEqual([["a.jpg", "an a"]]);
  });

  test("has several tables, of which the nearest to an image has its caption", async () => {
    const lines = (...rows: [string, string][]) =>
      rows.map(([file_name, text]) => JSON.stringify({ file_name, text })).join("\n");
    const folder = await open(kind, {
      "metadata.csv": "file_name,text\nroot.jpg,a root\na/deep/x.jpg,other\na/y.jpg,a y\n../out.jpg,x\nA/Y.JPG,x\n",
      "root.jpg": photo,
      "a/Metadata.JSONL": lines(["y.jpg", "a y"], ["deep\\..\\deep\\z.jpg", "a z"], ["gone.jpg", "x"]),
      "a/y.jpg": photo,
      "a/deep/captions.tsv": "file_name\ttext\nx.jpg\tan x\n",
      "a/deep/x.jpg": photo,
      "a/deep/z.jpg": photo,
      "a/deep/spare.jpg": photo,
      "a/deep/beside.jpg": photo,
      "a/deep/beside.txt": "has one beside",
      "a/deep/left.txt": "nobody's",
      "b/c.txt": "below the first table",
    });
    expect(brief(await all(imageFolder(folder)))).toEqual([
      ["a/deep/x.jpg", "an x"],
      ["a/y.jpg", "a y"],
      ["a/deep\\..\\deep\\z.jpg", "a z"],
      ["a/gone.jpg", "no image of that name"],
      ["root.jpg", "a root"],
      ["a/deep/x.jpg", "a/deep/captions.tsv and metadata.csv have different captions for it"],
      ["../out.jpg", "no image of that name"],
      ["A/Y.JPG", "no image of that name; did you mean a/y.jpg?"],
      ["a/deep/beside", "has one beside"],
      ["a/deep/spare", "no row for a/deep/spare.jpg in a/deep/captions.tsv"],
    ]);
  });

  test.each<[string, Contents, RegExp]>([
    [
      "two tables",
      { "a.jpg": photo, "metadata.csv": "", "captions.tsv": "" },
      /one table .* captions\.tsv and metadata\.csv/,
    ],
    ["a Parquet table", { "a.jpg": photo, "x/metadata.parquet": "PAR1" }, /x\/metadata\.parquet/],
    ["a truncated table", { "a/a.jpg": photo, "a/metadata.jsonl": "{" }, /^a\/metadata\.jsonl: line 1/],
    ["no images", { "a.txt": "a", "b.csv": "c" }, /no images among the folder's 2 files/],
    ["files of unknown extension", { "a.txt": "a", "b.xyz": "c" }, /no images among the folder's 2 files/],
  ])("with %s is refused", async (_, contents, message) => {
    const run = all(imageFolder(await open(kind, contents)));
    await expect(run).rejects.toMatchObject({ code: "invalid-dataset", message: expect.stringMatching(message) });
  });

  test("has names in composed and decomposed Unicode, in capitals and with dots", async () => {
    const folder = await open(kind, {
      [`${"Café".normalize("NFD")}.jpg`]: photo,
      "Café.txt": "a café",
      "Photo.JPG": photo,
      "photo.txt": "other capitals",
      "Track 2.0 (live)": photo,
      "Track 2.0 (live).txt": "no extension",
      "b.c.jpeg": photo,
      "b.c.TXT": "two dots",
      "d.jpg": photo,
      "d.jpg.txt": "named after the picture",
      "e.jpg": photo,
      "e.png": photo,
      "e.txt": "one for both",
    });
    const pairs = (await all(imageFolder(folder))).map((pair) => ({ ...pair, key: pair.key?.normalize("NFC") ?? "" }));
    expect(brief(pairs)).toEqual([
      ["Café", "a café"],
      ["Photo", "no caption for Photo.JPG: Photo.txt is missing; did you mean photo.txt?"],
      ["Track 2.0 (live)", "no extension"],
      ["b.c", "two dots"],
      ["d", "named after the picture"],
      ["e.jpg", "one for both"],
      ["e.png", "one for both"],
      ["photo", "no image for the caption photo.txt"],
    ]);
    const named = await all(
      captionTable(new Blob(["file_name,text\nCafé.jpg,one\nphoto.jpg,two\n"]), { images: folder }),
    );
    expect(brief(named)).toEqual([
      ["Café.jpg", "one"],
      ["photo.jpg", "no image of that name; did you mean Photo.JPG?"],
    ]);
  });

  test("skips notices and hidden files, and reports captions that are left over", async () => {
    const folder = await open(kind, {
      "a.jpg": photo,
      "a.txt": "a",
      "README.txt": "about",
      "sub/LICENSE.txt": "about",
      "license.jpg": photo,
      "license.txt": "a licence plate",
      "lost.txt": "lost",
      "film.mp4": "\0\0\0\x18ftypisom",
      "film.txt": "moving",
      "Thumbs.db": "x",
      "desktop.ini": "x",
      "notes.md": "x",
      "model.bin": "\x01\x02",
      ".DS_Store": "x",
      ".hidden/b.jpg": photo,
      "__MACOSX/._a.jpg": "x",
    });
    expect(brief(await all(imageFolder(folder)))).toEqual([
      ["a", "a"],
      ["license", "a licence plate"],
      ["film", "no image for the caption film.txt, only film.mp4"],
      ["lost", "no image for the caption lost.txt"],
    ]);
  });

  const html = "<!DOCTYPE html>\n<html><body>Not found</body></html>";
  test.each<[string, string, string | Uint8Array<ArrayBuffer>]>([
    ["an empty file", "x.jpg", ""],
    ["a web page", "x.png", html],
    ["a web page", "x.webp", `\n<!-- saved -->${html}`],
    ["text", "x.gif", "404 not found"],
    ["JSON", "x.jpeg", '{"error": 1}'],
    ["a zip archive", "x.bmp", "PK\x03\x04"],
    ["a Git LFS pointer", "x.jpg", "version https://git-lfs.github.com/spec/v1\noid sha256:0"],
    ["a PDF document", "x.tif", "%PDF-1.7"],
    ["a video", "x.heic", "\0\0\0\x18ftypisom\0\0\0\0isomiso2"],
  ])("names %s in place of the image %s", async (what, name, content) => {
    const contents = { [name]: content, "x.txt": "a caption", "metadata.csv": `file_name,text\n${name},a caption\n` };
    const { "metadata.csv": _, ...beside } = contents;
    const readers = [
      imageFolder(await open(kind, beside)),
      imageFolder(await open(kind, contents)),
      webDataset(await shardOf(beside)),
    ];
    for (const reader of readers) {
      const [pair, ...others] = await all(reader);
      expect(pair?.error?.message).toBe(
        `${name}: expected an image (PNG, JPEG, WebP, GIF or BMP), got ${pair?.error?.message.split(", got ")[1]}`,
      );
      expect(pair?.error?.message.split(", got ")[1]).toContain(what);
      expect(others).toEqual([]);
    }
  });
});

const wrongExtensions = (right: readonly string[]) =>
  ["png", "jpg", "tif", "xyz"].filter((extension) => !right.includes(extension));

describe.each(formats.pictures.map((picture) => [picture.format, picture.extensions.join(" "), picture] as const))(
  "%s (%s)",
  (format, _, picture) => {
    const names = [
      ...picture.extensions.flatMap((extension) => [`right.${extension}`, `right.${extension.toUpperCase()}`]),
      ...(picture.signed
        ? [...wrongExtensions(picture.extensions).map((extension) => `wrong.${extension}`), "none"]
        : []),
    ];

    test.each(names)("as %s is a pair or is reported with the name of its format", async (name) => {
      const stem = name.split(".")[0] as string;
      const contents = { [name]: fromBase64(picture.bytes), [`${stem}.txt`]: "a caption" };
      for (const reader of [imageFolder(await open("files", contents)), webDataset(await shardOf(contents))]) {
        const pairs = await all(reader);
        if (LEFT.includes(format)) expect(brief(pairs)).toEqual([[stem, "a caption"]]);
        else
          expect(brief(pairs)).toEqual([
            [stem, expect.stringContaining(`, got ${format === "PostScript" ? "a PostScript" : format}`)],
          ]);
      }
      // without a caption it is reported, too
      const alone = { [name]: fromBase64(picture.bytes), "other.jpg": photo, "other.txt": "other" };
      expect(await all(imageFolder(await open("files", alone)))).toHaveLength(2);
      expect(await all(webDataset(await shardOf(alone)))).toHaveLength(2);
    });
  },
);

test.each(formats.pictures.filter(({ format }) => DECODED.includes(format)))(
  "$format of every extension is trained with",
  async ({ bytes, extensions }) => {
    const contents: Contents = {};
    for (const name of [...extensions.map((extension) => `${extension}.${extension}`), "none", "wrong.tif"]) {
      contents[name] = fromBase64(bytes);
      contents[`${name.split(".")[0]}.txt`] = "a caption";
    }
    const shard = await shardOf(contents);
    expect(await trained(() => webDataset(shard))).toEqual({ skipped: undefined, batchSize: 2 });
  },
);

test.each(formats.beginnings)(
  "$format (.$extension) is known by its first bytes",
  async ({ format, extension, bytes }) => {
    for (const name of [`x.${extension}`, "x.jpg", "x"]) {
      const contents = { [name]: fromBase64(bytes), "x.txt": "a caption" };
      for (const reader of [imageFolder(await open("files", contents)), webDataset(await shardOf(contents))]) {
        const [pair, ...others] = await all(reader);
        if (LEFT.includes(format)) expect(pair).toMatchObject({ text: "a caption" });
        else
          expect(pair?.error?.message).toBe(
            `${name}: expected an image (PNG, JPEG, WebP, GIF or BMP), got ${format}, which cannot be decoded here`,
          );
        expect(others).toEqual([]);
      }
    }
  },
);

test("files of every extension that Pillow opens count as images, whatever their contents", async () => {
  const contents: Contents = {};
  for (const extension of formats.extensions) {
    contents[`${extension}.${extension}`] = Uint8Array.of(1, 2, 3, 4);
    contents[`${extension}.txt`] = extension;
  }
  for (const reader of [imageFolder(await open("files", contents)), webDataset(await shardOf(contents))]) {
    const pairs = await all(reader);
    expect(pairs.map(({ key }) => key).sort()).toEqual([...formats.extensions].sort());
    for (const { key, error } of pairs)
      expect(error?.message ?? `${key}.${key}: `, `${key}`).toContain(`${key}.${key}: `);
  }
});

test("files that resemble many formats are recognized quickly", async () => {
  const repeated = [
    "<!---->",
    "<!-- a -->\n",
    "# ",
    "P1 # ",
    "# \n",
    "<?xml ",
    "<!doctype svg ",
    "/* */ ",
    " ",
    "\t{",
    "a/",
    "<svg:",
  ];
  const contents: Contents = { "photo.jpg": photo, "photo.txt": "a photo" };
  for (const [i, text] of repeated.entries()) {
    contents[`${i}`] = text.repeat(300);
    contents[`netpbm${i}`] = `P3 ${text.repeat(300)}`;
  }
  expect(brief(await all(imageFolder(await open("files", contents))))).toContainEqual(["photo", "a photo"]);
  // a backtracking pattern would time out
  expect(brief(await all(webDataset(await shardOf(contents))))).toContainEqual(["photo", "a photo"]);
});

test("links on disk are followed, but not in circles; pipes are skipped", async () => {
  if (inBrowser) return;
  const { symlink, mkdir } = await import("node:fs/promises");
  const { execFileSync } = await import("node:child_process");
  const [elsewhere, folder] = [
    await onDisk({ "in/b.jpg": photo, "in/b.txt": "b" }),
    await onDisk({ "a.jpg": photo, "a.txt": "a" }),
  ];
  await mkdir(`${folder}/sub`);
  await symlink(`${elsewhere}/in`, `${folder}/linked`);
  await symlink("..", `${folder}/sub/up`);
  await symlink(`${elsewhere}/in/b.jpg`, `${folder}/c.jpg`);
  await symlink("nowhere.jpg", `${folder}/d.jpg`);
  execFileSync("mkfifo", [`${folder}/pipe`]);
  expect(brief(await all(imageFolder(folder)))).toEqual([
    ["a", "a"],
    ["c", "no caption for c.jpg: c.txt is missing"],
    ["d", expect.stringMatching(/d\.jpg.*ENOENT/)],
    ["linked/b", "b"],
  ]);
});
