/** Folders and tables of pairs, in every form. */

import { ClipTrainer, captionTable, type Folder, imageFolder } from "clipwright";
import { describe, expect, test } from "vitest";
import { all, brief, kinds, onDisk, open } from "../folders";
import { colourPairs, fixture, inBrowser, tinyConfig } from "../support";

const photo = () => fixture("preprocess/images/exif6_120x80.jpg");

describe.each(kinds)("a folder as %s", (kind) => {
  test("has captions beside the images, in the order of paths", async () => {
    const image = await photo();
    const folder = await open(kind, {
      "b.jpg": image,
      "b.txt": " a bird \n",
      "a/Z.JPEG": image,
      "a/Z.TXT": "a cat\nthe cat",
      "c.png": image,
      "d.gif": image,
      "d.txt": " \n",
      ".hidden.jpg": image,
      "README.txt": "not a caption",
      "notes.md": "",
    });
    const pairs = await all(imageFolder(folder, { captions: "lines" }));
    expect(brief(pairs)).toEqual([
      ["a/Z", "a cat", "the cat"],
      ["b", "a bird"],
      ["c", "no caption for c.png: c.txt is missing"],
      ["d", "the caption is empty"],
    ]);
    // a trainer takes it, and skips the bad pairs
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
    const steps = [];
    for await (const event of trainer.fit(() => imageFolder(folder), { batchSize: 2, epochs: 1, badPairs: "skip" })) {
      steps.push(event);
    }
    expect(steps[0]?.skipped).toEqual([
      {
        index: 2,
        key: "c",
        code: "invalid-dataset",
        message: expect.stringMatching(/^pair 2 \(c\): no caption/),
      },
      { index: 3, key: "d", code: "invalid-dataset", message: expect.stringMatching(/^pair 3 \(d\)/) },
    ]);
    const stopped = trainer.fit(() => imageFolder(folder), { batchSize: 2, epochs: 1 }).next();
    await expect(stopped).rejects.toMatchObject({ code: "invalid-dataset", message: expect.stringMatching(/\(c\)/) });
    trainer.dispose();
  });

  test("has captions in a table", async () => {
    const image = await photo();
    const contents = { "one.jpg": image, "sub/two.jpg": image, "spare.jpg": image };
    const rows =
      'file_name,split,text\n./one.jpg,train,"a, b"\nsub\\two.jpg,train,two\none.jpg,test,"again ""one"""\ngone.jpg,,x\n,,y\none.jpg\n';
    const expected = [
      ["./one.jpg", "a, b"],
      ["sub\\two.jpg", "two"],
      ["one.jpg", 'again "one"'],
      ["gone.jpg", "no image of that name"],
      ["row 6", "row 6: no image name"],
      ["one.jpg", 'row 7: expected 3 fields, as in the header, got 1: "one.jpg"'],
      ["spare", "no row for spare.jpg in metadata.csv"],
    ];
    const folder = await open(kind, { ...contents, "metadata.csv": `\ufeff${rows}` });
    expect(brief(await all(imageFolder(folder)))).toEqual(expected);
    const tabs = await open(kind, { ...contents, "sub/my.tsv": "title\tfilepath\nzwei, drei\ttwo.jpg\n" });
    expect(brief(await all(imageFolder(tabs, { table: "sub/my.tsv" })))).toEqual([["two.jpg", "zwei, drei"]]);
    const lines = `${JSON.stringify({ file_name: "one.jpg", text: ["a", "b"] })}\n\n${JSON.stringify({ file_name: 3, text: "x" })}`;
    const json = await open(kind, { ...contents, "metadata.jsonl": lines });
    expect(brief(await all(imageFolder(json)))).toEqual([
      ["one.jpg", "a", "b"],
      ["line 3", "line 3: expected an image name, got number"],
      ["spare", "no row for spare.jpg in metadata.jsonl"],
      ["sub/two", "no row for sub/two.jpg in metadata.jsonl"],
    ]);
    await expect(all(imageFolder(folder, { table: "none.csv" }))).rejects.toMatchObject({ code: "invalid-dataset" });
    await expect(all(imageFolder(folder, { captionColumn: "alt" }))).rejects.toThrow(
      'expected a column alt, got "file_name", "split", "text"',
    );
  });

  test("without images is refused", async () => {
    const folder = await open(kind, { "a.txt": "a" });
    await expect(all(imageFolder(folder))).rejects.toMatchObject({ code: "invalid-dataset" });
  });
});

test.each([
  ["id,text\n1,x", /column file_name or .*, got "id", "text"/],
  ["", /got no columns/],
])("the table %j is refused", async (text, message) => {
  const run = all(captionTable(new Blob([text]), { images: () => new Uint8Array() }));
  await expect(run).rejects.toMatchObject({ code: "invalid-dataset", message: expect.stringMatching(message) });
});

test("a table names images beside it, or images that a function finds", async () => {
  const place = inBrowser ? `${location.origin}/pictures/` : "/data/pictures/";
  const rows = "filepath;caption\nsub/a.png;one\n";
  const found = await all(captionTable(new Blob([rows]), { images: (name) => `${place}${name}` }));
  expect(found).toEqual([{ key: "sub/a.png", text: "one", image: `${place}sub/a.png` }]);
  const [pair] = await all(captionTable(new Blob([rows]), { separator: ";" }));
  expect(String(pair?.image)).toBe(inBrowser ? new URL("sub/a.png", document.baseURI).href : "sub/a.png");
  if (inBrowser) {
    const name = `${location.origin}/test/fixtures/preprocess/missing.csv`;
    await expect(all(captionTable(name))).rejects.toBeDefined();
    return;
  }
  const folder = await onDisk({
    "captions.tsv": "filepath\ttitle\nimages/a.jpg\tone\n",
    "images/a.jpg": await photo(),
  });
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  const pairs = await all(captionTable(`${folder}/captions.tsv`));
  expect(pairs).toEqual([{ key: "images/a.jpg", text: "one", image: `${folder}/images/a.jpg` }]);
  expect((await trainer.fit([...pairs, ...colourPairs(3)], { epochs: 1, batchSize: 4 }).next()).value?.batchSize).toBe(
    4,
  );
  trainer.dispose();
  await expect(all(captionTable(`${folder}/none.csv`))).rejects.toMatchObject({ code: "source-unreadable" });
});

test("a table names images in the spelling of another platform", async () => {
  if (inBrowser) return;
  const folder = await onDisk({
    "captions.csv": `file_name,text\nsub\\a.jpg,one\n${"Café".normalize("NFC")}.jpg,two\nsub\\gone.jpg,three\n`,
    "sub/a.jpg": await photo(),
    [`${"Café".normalize("NFD")}.jpg`]: await photo(),
  });
  const pairs = await all(captionTable(`${folder}/captions.csv`));
  expect(pairs.map(({ image }) => image)).toEqual([
    `${folder}/sub/a.jpg`,
    `${folder}/${"Café".normalize("NFD")}.jpg`,
    `${folder}/sub\\gone.jpg`,
  ]);
});

test("a table on a server cannot name local files", async () => {
  const { createServer } = inBrowser ? { createServer: undefined } : await import("node:http");
  if (!createServer) return;
  const server = createServer((_, response) =>
    response.end("url,text\nfile:///etc/passwd,x\n/etc/hosts,y\nhttp://[,z\n"),
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const [file, path, none] = await all(captionTable(`http://127.0.0.1:${port}/a/b.csv`));
  expect(file?.error?.message).toBe("no image of that name");
  expect(String(path?.image)).toBe(`http://127.0.0.1:${port}/etc/hosts`);
  expect(none?.error?.message).toBe("no image of that name");
  server.close();
});

test.each(["http://[", "http://127.0.0.1:1/a.csv"])("a table at %s is not read", async (address) => {
  await expect(all(captionTable(address))).rejects.toMatchObject({ code: "source-unreadable" });
});

test.each([undefined, 3, {}, [1]])("%j is refused as a folder", async (folder) => {
  await expect(all(imageFolder(folder as unknown as Folder))).rejects.toMatchObject({ code: "invalid-source" });
});

describe("several captions an image", () => {
  const captions = ["red 0", "a red one", "crimson"];

  test("are used one an epoch, over the epochs each of them", async () => {
    const [first, ...rest] = colourPairs(4);
    if (!first) throw new Error("no pair");
    const several = [{ ...first, moreTexts: captions.slice(1) }, ...rest];
    const run = async (pairs: typeof several, epochs: number) => {
      const trainer = await ClipTrainer.create({
        config: { ...tinyConfig, text: { ...tinyConfig.text, vocabSize: 49408 } },
        device: "cpu",
      });
      const losses = [];
      // at a negligible learning rate, the loss tells which captions were used
      const options = { epochs, batchSize: 4, lr: 1e-12, weightDecay: 0, seed: 2 };
      for await (const { loss } of trainer.fit(pairs, options)) losses.push(loss.toFixed(4));
      trainer.dispose();
      return losses;
    };
    const seen = new Set(await run(several, 24));
    const alone = await Promise.all(
      captions.map(async (text) => (await run([{ ...first, text }, ...rest] as typeof several, 1))[0]),
    );
    expect(seen).toEqual(new Set(alone));
  });

  test("are all queries of evaluate, and finding one of an image's captions is enough", async () => {
    const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
    const pairs = colourPairs(4);
    for await (const _ of trainer.fit(
      { images: pairs.map(({ image }) => image), texts: pairs.map(({ text }) => text) },
      { epochs: 1, batchSize: 4 },
    ));
    const twice = { images: pairs.map(({ image }) => image), texts: pairs.map(({ text }) => [text, "xyz"]) };
    const [one, two] = [await trainer.evaluate(pairs), await trainer.evaluate(twice, { truncate: true })];
    // four more equal captions are one query, and each of their images is correct
    expect(two.textToImage.r1 * 5).toBeCloseTo(one.textToImage.r1 * 4 + 1, 9);
    expect(two.imageToText.r10).toBe(1);
    expect([two.textToImage.queries, two.imageToText.queries, two.grouped]).toEqual([5, 4, { images: 0, captions: 4 }]);
    trainer.dispose();
  });
});
