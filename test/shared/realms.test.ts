/** Bytes, files and addresses of another realm: an iframe in the browser, a context in Node. */

import {
  type Bytes,
  Clip,
  ClipTrainer,
  captionTable,
  imageFolder,
  type PairSource,
  type ReadableSource,
  webDataset,
} from "clipwright";
import { packTar } from "modern-tar";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourPairs, fixture, inBrowser, maxError, sameBytes, text, tinyConfig } from "../support";

/** Classes of the other realm; a context in Node has only these. */
type Realm = Pick<typeof globalThis, "Uint8Array" | "Uint8ClampedArray" | "ArrayBuffer" | "DataView" | "Float32Array"> &
  Pick<typeof globalThis, "Int32Array" | "SharedArrayBuffer" | "Blob" | "File" | "URL" | "Response" | "ReadableStream">;

let realm: Realm;
let clip: Clip;
let png: Uint8Array<ArrayBuffer>;
let pixels: Float32Array;
let weights: Uint8Array<ArrayBuffer>;
let config: string;

async function otherRealm(): Promise<Realm> {
  if (inBrowser) {
    const frame = document.body.appendChild(document.createElement("iframe"));
    return frame.contentWindow as unknown as Realm;
  }
  const { createContext, runInContext } = await import("node:vm");
  const { Blob, File, URL, Response, ReadableStream } = globalThis;
  return runInContext("globalThis", createContext({ Blob, File, URL, Response, ReadableStream }));
}

beforeAll(async () => {
  realm = await otherRealm();
  weights = await fixture("models/clip-quickgelu-p8/hf/model.safetensors");
  config = await text("models/clip-quickgelu-p8/hf/config.json");
  png = await fixture("preprocess/images/noise_60x45.png");
  clip = await Clip.load({ weights, config }, { device: "cpu" });
  pixels = await clip.preprocess(png);
});
afterAll(() => clip.dispose());

const theirs = (bytes: Uint8Array) => realm.Uint8Array.from(bytes);
const shared = (bytes: Uint8Array) => {
  const buffer = new realm.SharedArrayBuffer(bytes.length);
  new realm.Uint8Array(buffer).set(bytes);
  return buffer;
};
/** A view of a larger buffer, whose beginning and end must not be read. */
const inside = (bytes: Uint8Array) => {
  const all = new realm.Uint8Array(bytes.length + 24).fill(7);
  all.set(bytes, 8);
  return all;
};

/** Bytes in every form of the other realm. */
const shapes: [string, (bytes: Uint8Array<ArrayBuffer>) => Bytes][] = [
  ["Uint8Array", theirs],
  ["part of a larger Uint8Array", (bytes) => inside(bytes).subarray(8, 8 + bytes.length)],
  ["Uint8ClampedArray", (bytes) => realm.Uint8ClampedArray.from(bytes)],
  ["DataView", (bytes) => new realm.DataView(inside(bytes).buffer, 8, bytes.length)],
  ["ArrayBuffer", (bytes) => theirs(bytes).buffer],
  ["Blob", (bytes) => new realm.Blob([bytes])],
  ["File", (bytes) => new realm.File([bytes], "file")],
  ["SharedArrayBuffer", shared],
  ["Uint8Array of shared memory", (bytes) => new realm.Uint8Array(shared(bytes))],
];

test("the other realm has other classes", () => {
  expect(theirs(png)).not.toBeInstanceOf(Uint8Array);
  expect(theirs(png).buffer).not.toBeInstanceOf(ArrayBuffer);
});

describe.each(shapes)("%s", (_, make) => {
  test("as an image", async () => {
    expect(maxError(await clip.preprocess(make(png)), pixels)).toBe(0);
  });

  test("as weights, alone and in shards", async () => {
    for (const source of [
      { weights: make(weights), config },
      { weights: [make(weights)], config },
    ]) {
      const other = await Clip.load(source, { device: "cpu", towers: "image" });
      expect(maxError(await other.preprocess(png), pixels)).toBe(0);
      other.dispose();
    }
    const whole = (await clip.exportSafetensors()) as Uint8Array<ArrayBuffer>;
    const other = await Clip.load(make(whole), { device: "cpu" });
    expect(maxError(await other.preprocess(png), pixels)).toBe(0);
    other.dispose();
  });

  test("as a table and as a shard", async () => {
    const table = new TextEncoder().encode("file_name,text\na.png,one\n");
    const rows = [];
    for await (const { text } of captionTable(make(table), { images: () => png })) rows.push(text);
    expect(rows).toEqual(["one"]);
    const member = (name: string, body: Uint8Array) => ({ header: { name, size: body.length }, body });
    const shard = await packTar([member("a.png", png), member("a.txt", new TextEncoder().encode("one"))]);
    const pairs = [];
    for await (const { text } of webDataset(make(shard as Uint8Array<ArrayBuffer>))) pairs.push(text);
    expect(pairs).toEqual(["one"]);
  });
});

test("a training state", async () => {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 1, warmup: 0 }));
  const state = (await trainer.saveCheckpoint()) as Uint8Array<ArrayBuffer>;
  const expected = await trainer.exportSafetensors();
  trainer.dispose();
  for (const [, make] of shapes) {
    const resumed = await ClipTrainer.resume(make(state), { device: "cpu" });
    expect(sameBytes(await resumed.exportSafetensors(), expected)).toBe(true);
    resumed.dispose();
  }
});

test("files, addresses, responses, streams, pairs", async () => {
  const files = [new realm.File([png], "a.png"), new realm.File(["one"], "a.txt")];
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(colourPairs(8), { batchSize: 8, epochs: 1, warmup: 0 }));
  const raw = colourPairs(4).map(({ image, text }) => ({ image: { ...image, data: theirs(image.data) }, text }));
  const sources: [PairSource, number][] = [
    [() => imageFolder(files), 1],
    [raw, 4],
    [raw.map(({ text }) => ({ image: theirs(png), text })), 4],
  ];
  for (const [source, count] of sources) {
    const { textToImage } = await trainer.evaluate(source);
    expect(textToImage.medianRank).toBeLessThanOrEqual(count);
  }
  trainer.dispose();
  const table = "file_name,text\na.png,one\n";
  for (const source of [new realm.Response(table), new realm.Response(table).body]) {
    const rows = [];
    for await (const { text } of captionTable(source as ReadableSource, { images: () => png })) rows.push(text);
    expect(rows).toEqual(["one"]);
  }
  const named = [new realm.File([weights], "model.safetensors"), new realm.File([config], "config.json")];
  const fromFiles = await Clip.load(named, { device: "cpu" });
  expect(maxError(await fromFiles.preprocess(png), pixels)).toBe(0);
  fromFiles.dispose();
  const address = new realm.URL(`data:image/png;base64,${btoa(String.fromCharCode(...png))}`);
  expect(maxError(await clip.preprocess(address), pixels)).toBe(0);
});

test("numbers: pixels, ids, embeddings", async () => {
  const values = realm.Float32Array.from(pixels);
  const own = await clip.encodeImage({ pixelValues: pixels });
  expect(maxError((await clip.encodeImage({ pixelValues: values })).data, own.data)).toBe(0);
  const ids = Int32Array.from({ length: 2 * 77 }, (_, i) => i % 300);
  const inputIds = realm.Int32Array.from(ids);
  const words = await clip.encodeText({ inputIds: ids });
  expect(maxError((await clip.encodeText({ inputIds })).data, words.data)).toBe(0);
  const foreign = { ...own, data: realm.Float32Array.from(own.data) };
  const { logitsPerImage } = await clip.logits(own, words);
  expect(maxError((await clip.logits(foreign, words)).logitsPerImage, logitsPerImage)).toBe(0);
  const probe = await clip.linearProbe({ ...words, data: realm.Float32Array.from(words.data) }, ["red", "blue"]);
  expect((await probe.classify(foreign))[0]?.length).toBe(2);
});

test("a detached buffer is refused", async () => {
  const bytes = png.slice();
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  await expect(clip.encodeImage(bytes)).rejects.toMatchObject({ code: "invalid-source", message: /transferred/ });
});

test.runIf(inBrowser)("canvases and images of another document", async () => {
  const frame = document.body.appendChild(document.createElement("iframe"));
  const other = frame.contentDocument as Document;
  const img = other.createElement("img");
  img.src = URL.createObjectURL(new Blob([png]));
  await img.decode();
  const canvas = Object.assign(other.createElement("canvas"), { width: 60, height: 45 });
  canvas.getContext("2d")?.drawImage(img, 0, 0);
  const bitmap = await (frame.contentWindow as unknown as typeof globalThis).createImageBitmap(canvas);
  for (const image of [img, canvas, bitmap]) expect(maxError(await clip.preprocess(image), pixels)).toBeLessThan(1e-6);
});
