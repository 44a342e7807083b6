/** Images given as strings: impossible names are refused, and errors name the image. */

import { Clip, ClipTrainer, type ImageInput, isClipError, type SkippedPair } from "clipwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourPairs, fixture, inBrowser, maxError, startModelServer, text, tinyConfig } from "../support";

let clip: Clip;
let server: Awaited<ReturnType<typeof startModelServer>>;
let png: Uint8Array<ArrayBuffer>;
let pixels: Float32Array;

beforeAll(async () => {
  server = await startModelServer();
  const folder = "models/clip-quickgelu-p8/open_clip";
  const parts = {
    weights: await fixture(`${folder}/open_clip_model.safetensors`),
    config: await text(`${folder}/open_clip_config.json`),
  };
  clip = await Clip.load(parts, { device: "cpu", towers: "image" });
  png = await fixture("preprocess/images/noise_60x45.png");
  pixels = await clip.preprocess(png);
});
afterAll(async () => {
  clip.dispose();
  await server.stop();
});

const base64 = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes));

async function failure(call: Promise<unknown>) {
  const error = await call.then(
    () => undefined,
    (error) => error,
  );
  if (!isClipError(error)) throw new Error(`expected a ClipError, got ${error}`);
  return error;
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const one of stream) list.push(one);
  return list;
}

describe("a string that is no path and no address", () => {
  const words = "a photo of a cat that lies on a red sofa, ".repeat(20);
  const cases: [string, () => string | Promise<string>, RegExp][] = [
    ["a PNG in base64", () => base64(png), /base64 of \d+ characters.*"data:image\/png;base64,"/],
    ["a short one", () => base64(png.subarray(0, 60)), /base64/],
    ["one with line breaks", () => base64(png).replace(/.{76}/g, "$&\n"), /base64/],
    ["a JPEG in base64", async () => base64(await fixture("preprocess/images/exif6_120x80.jpg")), /base64/],
    ["a WebP in base64", async () => base64(await fixture("preprocess/images/animated_50x64.webp")), /base64/],
    ["a long caption", () => words, /text of 840 characters: "a photo of a cat/],
    ["a caption of two lines", () => "a cat\non a sofa", /text of 15 characters: "a cat\\non a sofa"/],
    ["a NUL character", () => "a.png\0", /text of 6 characters/],
    ["a path without end", () => "folder/".repeat(1000), /text of 7000 characters/],
    ["an empty string", () => "", /got/],
  ];
  test.each(cases)("%s is refused with an excerpt", async (_, make, message) => {
    const given = await make();
    for (const call of [clip.encodeImage(given), clip.encodeImage([png, given]), clip.preprocess(given)]) {
      const error = await failure(call);
      expect(error.code).toBe("invalid-image");
      expect(error.message).toMatch(message);
      expect(error.message.length).toBeLessThan(700);
      if (given.length > 200) expect(error.message).not.toContain(given.slice(0, 201));
    }
    const [one] = await collect(clip.encodeImages([given]));
    expect(one).toMatchObject({ index: 0, key: given, error: { code: "invalid-image" } });
  });

  test("is requested where it could be one", async () => {
    for (const name of ["no such.png", "a cat on a sofa", "Qk", "runs/none/a.png"]) {
      const error = await failure(clip.encodeImage(name));
      expect(error.code, error.message).toMatch(/source-unreadable|undecodable-image/);
      expect(error.message).toContain(inBrowser ? new URL(name, document.baseURI).href : name);
    }
    for (const address of ["nowhere://x/y.png", `data:image/png;base64,${"%".repeat(999)}`, "http://[/a.png"]) {
      const error = await failure(clip.encodeImage(address));
      expect(error.code, error.message).toMatch(/source-unreadable|undecodable-image/);
      expect(error.message.length).toBeLessThan(700);
    }
    expect(maxError(await clip.preprocess(`data:image/png;base64,${base64(png)}`), pixels)).toBe(0);
    expect(maxError(await clip.preprocess(`DATA:;base64,${base64(png)}`), pixels)).toBe(0);
  });
});

test("colons and percent signs can be part of file names", async () => {
  const names = ["photo-12:30.png", "a:b.png", "50%off.png", "50%25off.png", "mailto:x.png"];
  if (inBrowser) {
    // addresses are relative to the page, and percent signs are escapes
    const base = document.head.appendChild(document.createElement("base"));
    base.href = `${server.base}names/`;
    for (const name of names.filter((name) => name.includes(":"))) {
      await fetch(`./put/${name}`, { method: "PUT", body: png });
      expect(maxError(await clip.preprocess(name), pixels), name).toBe(0);
    }
    base.remove();
    return;
  }
  const { mkdtemp, rm, writeFile } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const folder = await mkdtemp(join(tmpdir(), "clipwright-names-"));
  const here = process.cwd();
  process.chdir(folder);
  try {
    for (const name of [...names, "a#1.png", "what?.png"]) {
      await writeFile(name, png);
      for (const path of [name, `./${name}`, join(folder, name)]) {
        expect(maxError(await clip.preprocess(path), pixels), path).toBe(0);
      }
    }
    // a malformed escape stays as it is
    expect(maxError(await clip.preprocess(`file://${folder}/50%off.png`), pixels)).toBe(0);
    expect(maxError(await clip.preprocess(`file://${folder}/a%231.png`), pixels)).toBe(0);
  } finally {
    process.chdir(here);
    await rm(folder, { recursive: true });
  }
});

/** Images that cannot be read, and their names in messages. */
async function nameless(): Promise<[ImageInput, string | undefined, RegExp][]> {
  const missing = `${server.base}images/nothing.png`;
  const long = `${server.base}images/${"long".repeat(60)}.png`;
  const picked = Object.defineProperty(new File(["no"], "b.png"), "webkitRelativePath", { value: "pets/b.png" });
  const list: [ImageInput, string | undefined, RegExp][] = [
    [missing, missing, /nothing\.png: cannot fetch the image: HTTP 404/],
    [new URL(missing), missing, /nothing\.png: cannot fetch the image/],
    [long, long, /^[^:]*:\/\/.{100,300}…: cannot fetch the image/],
    [new File(["no"], "a.png"), "a.png", /^a\.png: .*expected PNG/],
    [new File(["no"], "a"), "a", /^a: .*expected PNG/],
    [picked, "pets/b.png", /^pets\/b\.png: .*expected PNG/],
    [new Blob(["no"]), undefined, /^image 1: .*expected PNG/],
    [new Uint8Array(3), undefined, /^image 1: .*expected PNG/],
    [{} as never, undefined, /^image 1: expected encoded bytes.*got Object/],
  ];
  if (!inBrowser)
    list.push(["./none/here.png", "./none/here.png", /^cannot read the file \.\/none\/here\.png: ENOENT/]);
  return list;
}

test("errors name the path, address or file, in lists and streams", async () => {
  for (const [image, key, message] of await nameless()) {
    const error = await failure(clip.encodeImage([png, image, png]));
    expect(error.message).toMatch(message);
    expect((await failure(clip.preprocess([png, image]))).message).toBe(error.message);
    const stream = await collect(clip.encodeImages([png, image, png], { batchSize: 2 }));
    expect(stream.map(({ error }) => error?.message)).toEqual([undefined, error.message, undefined]);
    expect(stream[1]).toEqual({ index: 1, ...(key !== undefined && { key }), error: stream[1]?.error });
    const whole = stream.map(({ embedding }) => embedding).filter((embedding) => embedding !== undefined);
    expect(whole.length).toBe(2);
    const stopped = clip.encodeImages([png, image, png], { batchSize: 1, badImages: "stop" });
    expect((await stopped.next()).value).toMatchObject({ index: 0 });
    expect((await failure(stopped.next())).message).toBe(error.message);
  }
  const all = await collect(clip.encodeImages((await nameless()).map(([image]) => image)));
  expect(all.every(({ error }) => error !== undefined)).toBe(true);
});

test("an error of the model ends a stream", async () => {
  const folder = "models/clip-quickgelu-p8/hf";
  const [weights, config] = [await fixture(`${folder}/model.safetensors`), await text(`${folder}/config.json`)];
  const texts = await Clip.load({ weights, config }, { device: "cpu", towers: "text" });
  for (const images of [[png], [png, new Uint8Array(3)]]) {
    expect((await failure(texts.encodeImages(images).next())).code).toBe("missing-tower");
  }
  texts.dispose();
  expect((await failure(texts.encodeImages([png]).next())).code).toBe("disposed");
});

test("errors name pairs by their key, or by their image", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for (const [image, key, message] of await nameless()) {
    const pairs = [...colourPairs(4), { image, text: "one" }];
    const run = async () => {
      for await (const _ of trainer.fit(pairs, { batchSize: 4, epochs: 1 }));
    };
    const said = message.source.replace(/^\^(image 1: )?/, "").replace(/^\S+: /, "");
    const error = await failure(run());
    expect(error.message).toMatch(key === undefined ? /^pair 4: / : /^pair 4 \(.*\): /);
    if (key !== undefined) expect(error.message).toContain(`(${key.slice(0, 200)}`);
    expect(error.message).toMatch(new RegExp(said.includes("://") ? "cannot fetch the image" : said));
    let skipped: SkippedPair[] = [];
    for await (const event of trainer.fit(pairs, { batchSize: 4, epochs: 1, badPairs: "skip" })) {
      skipped = event.skipped ?? skipped;
    }
    expect(skipped.map(({ index }) => index)).toEqual([4]);
    expect(skipped[0]?.key?.slice(0, 200)).toBe(key?.slice(0, 200));
  }
  const [own] = colourPairs(1);
  const named = { image: new File(["no"], "a.png"), text: "one", key: "mine" };
  const error = await failure(trainer.evaluate([own as never, named]));
  expect(error.message).toMatch(/^pair 1 \(mine\): /);
  const wrong = await failure(trainer.evaluate([{ ...(own as object), key: {} } as never]));
  expect(wrong).toMatchObject({
    code: "invalid-dataset",
    message: expect.stringMatching(/key: string.*got key: Object/),
  });
  trainer.dispose();
});
