/** Truncated, damaged, malicious and foreign images; raw pixels of every kind. */

import { Clip, ClipTrainer, type ImageInput, type RawImage, type SkippedPair } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { colourPairs, fixture, inBrowser, json, maxError, text, tinyConfig } from "../support";

let clip: Clip;
let good: Uint8Array<ArrayBuffer>;

beforeAll(async () => {
  clip = await Clip.load(
    {
      weights: await fixture("models/clip-quickgelu-p8/open_clip/open_clip_model.safetensors"),
      config: await text("models/clip-quickgelu-p8/open_clip/open_clip_config.json"),
    },
    { device: "cpu", towers: "image" },
  );
  good = await fixture("pictures/files/rgb.png");
});
afterAll(() => clip.dispose());

const file = (name: string) => fixture(`pictures/files/${name}`);
const refused = (image: ImageInput, code: string, message: RegExp) =>
  expect(clip.preprocess(image)).rejects.toMatchObject({ code, message: expect.stringMatching(message) });

interface Broken {
  what: string;
  file: string;
  edits: [number, number, string][];
  taken: boolean;
}

function edited(bytes: Uint8Array, edits: Broken["edits"]): Uint8Array<ArrayBuffer> {
  const all = [...bytes];
  for (const [start, end, hex] of edits.toReversed()) {
    all.splice(start, end - start, ...(hex.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)));
  }
  return new Uint8Array(all);
}

test("users' files: truncated images, and a WebP that declares 2 GiB", async () => {
  for (const name of ["cut-60.jpg", "cut0.5.jpg", "cut0.8.progressive.jpg", "cut-2.webp"]) {
    await refused(await fixture(`cases/cut-pictures/${name}`), "undecodable-image", /ends early/);
  }
  const before = await clip.preprocess(good);
  await refused(await fixture("cases/panic.webp"), "undecodable-image", /"EXIF" claims 2147483648 bytes/);
  expect(maxError(await clip.preprocess(good), before)).toBe(0);
});

test("in training, truncated images and wrong pixels are bad pairs, reported by key", async () => {
  const raw = { data: new Float32Array(48) as unknown as Uint8Array, width: 4, height: 4 };
  const bad: [string, ImageInput, string, RegExp][] = [
    ["cut.jpg", await fixture("cases/cut-pictures/cut-60.jpg"), "undecodable-image", /ends early/],
    ["cut.webp", await fixture("cases/cut-pictures/cut-2.webp"), "undecodable-image", /ends early/],
    ["panic.webp", await fixture("cases/panic.webp"), "undecodable-image", /claims 2147483648 bytes/],
    ["iphone.HEIC", await fixture("cases/picture-extensions/iphone.HEIC"), "undecodable-image", /HEIC/],
    ["floats", raw, "invalid-image", /got Float32Array/],
  ];
  const pairs = [...bad.map(([key, image]) => ({ key, image, text: "a picture" })), ...colourPairs(4)];
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  let skipped: readonly SkippedPair[] = [];
  for await (const event of trainer.fit(pairs, { batchSize: 2, epochs: 1, badPairs: "skip" })) {
    skipped = [...skipped, ...(event.skipped ?? [])];
  }
  expect(skipped).toMatchObject(
    bad.map(([key, , code, message]) => ({ key, code, message: expect.stringMatching(message) })),
  );
  trainer.dispose();
});

test("JPEGs and WebPs truncated by one byte, by two, and at every tenth", async () => {
  for (const name of ["baseline.jpg", "progressive.jpg", "cmyk.jpg", "lossy.webp", "lossless.webp", "animated.webp"]) {
    const bytes = await file(name);
    for (const part of [...Array(10).keys()]) {
      await refused(bytes.slice(0, Math.max(12, (bytes.length * part) / 10)), "undecodable-image", /got \d+ bytes/);
    }
    for (const less of [1, 2]) await refused(bytes.slice(0, -less), "undecodable-image", /ends early/);
  }
});

test("damaged images are refused or decoded as by Pillow, and the core works on", async () => {
  const before = await clip.preprocess(good);
  // parity/pictures.rs lists where the core is stricter than Pillow
  const rows = (await json("pictures/pictures.json")).broken.filter(({ taken }: Broken) => !taken) as Broken[];
  expect(rows.length).toBeGreaterThan(150);
  for (const { what, file: name, edits } of rows) {
    const outcome = await clip.preprocess(edited(await file(name), edits)).catch(({ code }) => code);
    expect(outcome, `${name}: ${what}`).toBe("undecodable-image");
  }
  expect(maxError(await clip.preprocess(good), before)).toBe(0);
});

test("bitmaps show their colours unless they have alpha", async () => {
  const colours = await clip.preprocess(await file("32-full.bmp"));
  for (const head of ["32", "info", "v3", "v4", "v5"]) {
    for (const alpha of ["zero", "some", "half", "full"]) {
      const same = maxError(await clip.preprocess(await file(`${head}-${alpha}.bmp`)), colours) === 0;
      expect(same, `${head}-${alpha}`).toBe(!head.startsWith("v") || alpha === "zero" || alpha === "full");
    }
  }
});

test("JPEGs are recognized by bytes, whatever their names", async () => {
  for (const name of ["chrome.jfif", "stereo.mpo"]) {
    const bytes = await fixture(`cases/picture-extensions/${name}`);
    const pixels = await clip.preprocess(new File([bytes], name));
    expect(maxError(await clip.preprocess(bytes), pixels)).toBe(0);
  }
  // the first image of two
  const [mpo, first] = [await file("two.mpo"), (await json("pictures/pictures.json")).pictures["two.mpo"].taken[0][0]];
  expect(maxError(await clip.preprocess(mpo.slice(0, first)), await clip.preprocess(mpo))).toBe(0);
});

test("other formats are named", async () => {
  const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
  const cases: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [await fixture("cases/picture-extensions/iphone.HEIC"), /got 224 bytes of HEIC \(HEIF\): convert it to PNG/],
    [bytes("II*\0\x08\0\0\0"), /bytes of TIFF/],
    [bytes("\0\0\0\x0cJXL \r\n\x87\n"), /bytes of JPEG XL/],
    [bytes("8BPS\0\x01"), /Photoshop \(PSD\)/],
    [bytes("%PDF-1.7"), /PDF: save its page as PNG first/],
    [bytes("version https://git-lfs.github.com/spec/v1\n"), /a Git LFS pointer: fetch the file itself/],
    [bytes("\n<!DOCTYPE html><html>"), /a web page \(HTML\): its address/],
    [bytes("PK\x03\x04"), /a zip archive: unpack it first/],
  ];
  for (const [image, message] of cases) await refused(image, "undecodable-image", message);
});

test("AVIF is decoded where the browser can, and named otherwise", async () => {
  const avif = await fixture("cases/picture-extensions/phone.avif");
  if (inBrowser) {
    const bitmap = await createImageBitmap(new Blob([avif]));
    expect(maxError(await clip.preprocess(avif), await clip.preprocess(bitmap))).toBe(0);
    expect(maxError(await clip.preprocess(new Blob([avif])), await clip.preprocess(bitmap))).toBe(0);
  } else await refused(avif, "undecodable-image", /got 317 bytes of AVIF: convert it to PNG/);
  // a file that claims to be AVIF and is not
  await refused(avif.slice(0, 60), "undecodable-image", /got 60 bytes of AVIF/);
});

test("raw pixels have one to four values, of one byte each", async () => {
  const [width, height] = [9, 5];
  const gray = Uint8Array.from({ length: width * height }, (_, i) => (i * 37) % 256);
  const each = (values: (level: number) => number[]) => Uint8Array.from([...gray].flatMap(values));
  const shown = await clip.preprocess({ data: each((level) => [level, level, level]), width, height });
  for (const data of [
    gray,
    each((level) => [level, 255]),
    each((level) => [level, level, level, 255]),
    // a view of a larger buffer
    new Uint8Array([...gray, 1, 2, 3]).subarray(0, gray.length),
  ]) {
    for (const view of [data, new Uint8ClampedArray(data)]) {
      expect(maxError(await clip.preprocess({ data: view, width, height }), shown), `${data.length}`).toBe(0);
    }
  }
  const white = await clip.preprocess({ data: gray.map(() => 255), width, height });
  expect(maxError(await clip.preprocess({ data: each((level) => [level, 0]), width, height }), white)).toBe(0);
});

test("raw pixels of other types and shapes are refused, never read as bytes", async () => {
  const levels = Uint8Array.from({ length: 48 * 48 * 3 }, (_, i) => i % 256);
  const raw = (changes: Record<string, unknown>) =>
    ({ data: levels, width: 48, height: 48, ...changes }) as unknown as RawImage;
  const types = { Float32Array, Float64Array, Uint16Array, Int16Array, Int8Array, Uint32Array, Array };
  for (const [name, type] of Object.entries(types)) {
    for (const length of [48 * 48 * 3, 48 * 48, (48 * 48 * 3) / 4, (48 * 48 * 3) / 2]) {
      const data = new type(length).fill(0.5);
      await refused(raw({ data }), "invalid-image", new RegExp(`as Uint8Array or Uint8ClampedArray, got ${name}`));
    }
  }
  await refused(raw({ data: new Float32Array(9) }), "invalid-image", /levels from 0 to 1 by Uint8ClampedArray\.from/);
  await refused(raw({ data: new Uint16Array(9) }), "invalid-image", /from 0 to 65535 by .* x \/ 257/);
  for (const data of [levels.buffer, new DataView(levels.buffer), null, undefined, "pixels"]) {
    await refused(raw({ data }), "invalid-image", /raw pixels: expected data /);
  }
  for (const side of ["width", "height"]) {
    for (const value of [48.0001, -48, 0, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 60]) {
      await refused(
        raw({ [side]: value }),
        "invalid-image",
        new RegExp(`raw pixels: expected ${side} .* got ${value}`),
      );
    }
    for (const value of ["48", null, undefined, 48n, [48]]) {
      await refused(raw({ [side]: value }), "invalid-image", new RegExp(`raw pixels: expected ${side} `));
    }
    // the same length modulo 2³²
    await refused(raw({ [side]: 48 + 2 ** 32 }), "shape-mismatch", /got 6912 bytes/);
  }
  await refused(
    raw({ width: 47 }),
    "shape-mismatch",
    /expected \[48, 47, 3\], or 1, 2 or 4 values a pixel, got 6912 bytes/,
  );
  await refused(raw({ data: new Uint8Array(48 * 48 * 5) }), "shape-mismatch", /got 11520 bytes/);
  await refused(raw({ channels: 4 }), "shape-mismatch", /expected \[48, 48, 4\], got 6912 bytes/);
  expect(maxError(await clip.preprocess(raw({ channels: 3 })), await clip.preprocess(raw({})))).toBe(0);
});

test("ImageData of another colour space looks as it does on the page", async () => {
  if (!inBrowser) return;
  const data = Uint8ClampedArray.from({ length: 16 * 16 * 4 }, (_, i) => [200, 90, 60, 255][i % 4] as number);
  const wide = new ImageData(data, 16, 16, { colorSpace: "display-p3" });
  const bitmap = await createImageBitmap(wide);
  expect(maxError(await clip.preprocess(wide), await clip.preprocess(bitmap))).toBeLessThan(0.02);
  const asSrgb = maxError(await clip.preprocess(wide), await clip.preprocess({ data, width: 16, height: 16 }));
  // Firefox has no other colour spaces, and ignores the wish
  if (wide.colorSpace === "display-p3") expect(asSrgb).toBeGreaterThan(0.02);
  else expect(asSrgb).toBe(0);
});
