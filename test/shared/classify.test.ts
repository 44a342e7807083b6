/** Streams of images, probabilities, zero-shot classification. */

import {
  Clip,
  type EncodedImage,
  type ImageInput,
  isClipError,
  TEMPLATES,
  type Template,
  type ZeroShotClassifier,
} from "clipwright";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { colourPairs, fixture, json, maxError, startModelServer, text } from "../support";

let clip: Clip;
let siglip: Clip;
let server: Awaited<ReturnType<typeof startModelServer>>;

beforeAll(async () => {
  server = await startModelServer();
  const folder = "models/clip-quickgelu-p8/hf";
  clip = await Clip.load(
    {
      weights: await fixture(`${folder}/model.safetensors`),
      config: await json(`${folder}/config.json`),
      tokenizer: await json(`${folder}/tokenizer.json`),
    },
    { device: "cpu" },
  );
  siglip = await Clip.load(
    {
      weights: await fixture("models/siglip-p16/hf/model.safetensors"),
      config: await text("models/siglip-p16/hf/config.json"),
    },
    { device: "cpu" },
  );
});
afterAll(async () => {
  clip.dispose();
  siglip.dispose();
  await server.stop();
});

const images: ImageInput[] = colourPairs(9).map(({ image }) => image);

describe("a stream of images", () => {
  test("is embedded in order, no faster than it is read", async () => {
    const whole = await clip.encodeImage(images);
    const dim = whole.shape[1];
    let asked = 0;
    async function* source() {
      for (const image of images) {
        asked++;
        yield image;
      }
    }
    let taken = 0;
    for await (const { index, key, embedding } of clip.encodeImages(source(), { batchSize: 2, badImages: "stop" })) {
      expect(index).toBe(taken++);
      expect(key).toBeUndefined();
      expect(maxError(embedding, whole.data.subarray(index * dim, (index + 1) * dim))).toBeLessThan(1e-6);
      // at most two batches ahead
      expect(asked).toBeLessThanOrEqual(taken + 2 * 2);
    }
    expect(taken).toBe(images.length);
  });

  test("is closed where the loop is left, and an empty one yields nothing", async () => {
    let closed = false;
    async function* endless() {
      try {
        for (;;) yield images[0] as ImageInput;
      } finally {
        closed = true;
      }
    }
    for await (const { index } of clip.encodeImages(endless(), { batchSize: 3 })) if (index === 4) break;
    expect(closed).toBe(true);
    for await (const _ of clip.encodeImages([])) throw new Error("expected nothing");
  });

  test("yields the error of a bad image in its place, and embeddings of the others", async () => {
    const whole = await clip.encodeImage(images.slice(0, 4));
    const dim = whole.shape[1];
    const missing = `${server.base}images/nothing.png`;
    const stream: ImageInput[] = [
      images[0] as ImageInput,
      new File(["no picture"], "notes.txt"),
      images[1] as ImageInput,
      missing,
      // a batch of bad images only
      new Uint8Array([1, 2, 3]),
      7 as never,
      images[2] as ImageInput,
      "iVBORw0KGgo".padEnd(3000, "A"),
      images[3] as ImageInput,
    ];
    const good = [0, 2, 6, 8];
    const keys = [undefined, "notes.txt", undefined, missing, undefined, undefined, undefined, stream[7], undefined];
    const codes = ["undecodable-image", "source-unreadable", "undecodable-image", "invalid-image", "invalid-image"];
    const names = [
      /^notes\.txt: /,
      /nothing\.png/,
      /^image 4: /,
      /^image 5: .*got number/,
      /^iVBORw0KGgoA+…: .*base64/,
    ];
    for (const batchSize of [1, 2, 3, 16]) {
      const all = [];
      for await (const one of clip.encodeImages(stream, { batchSize })) all.push(one);
      expect(all.map(({ index }) => index)).toEqual([...stream.keys()]);
      expect(all.map(({ key }) => key)).toEqual(keys);
      for (const [row, index] of good.entries()) {
        const { embedding } = all[index] as EncodedImage;
        expect(maxError(embedding, whole.data.subarray(row * dim, (row + 1) * dim))).toBeLessThan(1e-6);
      }
      const errors = all.flatMap(({ error }) => (error ? [error] : []));
      expect(errors.map(({ code }) => code)).toEqual(codes);
      for (const [i, error] of errors.entries()) {
        expect(isClipError(error)).toBe(true);
        expect(error.message).toMatch(names[i] as RegExp);
        // its name and an excerpt, 200 characters each
        expect(error.message.length).toBeLessThan(600);
      }
    }
  });

  test("stops at a bad image with badImages: stop, after the batches before it", async () => {
    const seen: number[] = [];
    const bad = [...images.slice(0, 5), new Uint8Array([1, 2, 3])];
    const reading = async () => {
      for await (const { index } of clip.encodeImages(bad, { batchSize: 2, badImages: "stop" })) seen.push(index);
    };
    await expect(reading()).rejects.toMatchObject({
      code: "undecodable-image",
      message: expect.stringMatching(/^image 5: /),
    });
    expect(seen).toEqual([0, 1, 2, 3]);
    await expect(clip.encodeImages(images, { batchSize: 0 }).next()).rejects.toMatchObject({ code: "invalid-option" });
    await expect(clip.encodeImages(7 as never).next()).rejects.toMatchObject({ code: "invalid-source" });
  });
});

describe("zero-shot classification", () => {
  const labels = ["cat", "dog", "bird"];

  test("is the softmax over the labels' captions, best first", async () => {
    const classifier = await clip.zeroShotClassifier(labels);
    const predictions = await classifier.classify(images[0] as ImageInput);
    expect(predictions.map(({ label }) => label).sort()).toEqual([...labels].sort());
    const { probabilities } = await clip.logits(
      images[0] as ImageInput,
      labels.map((label) => `a photo of a ${label}.`),
    );
    for (const { index, label, score } of predictions) {
      expect(label).toBe(labels[index]);
      expect(score).toBeCloseTo(probabilities[index] as number, 5);
    }
    expect(predictions.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 5);
    const scores = predictions.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(await classifier.classify(images[0] as ImageInput, { topK: 1 })).toEqual(predictions.slice(0, 1));
  });

  test("returns a list for each of several images or embeddings", async () => {
    const classifier = await clip.zeroShotClassifier(labels);
    const lists = await classifier.classify(images.slice(0, 3), { topK: 2 });
    expect(lists.map((list) => list.length)).toEqual([2, 2, 2]);
    expect(await classifier.classify(await clip.encodeImage(images.slice(0, 3)), { topK: 2 })).toEqual(lists);
  });

  test("averages the captions of all templates", async () => {
    expect(TEMPLATES.openai).toHaveLength(80);
    expect(new Set(TEMPLATES.openai).size).toBe(80);
    const classifier = await clip.zeroShotClassifier(labels, { templates: "openai" });
    const dim = classifier.embeddings.shape[1];
    const captions = TEMPLATES.openai.map((template) => template.replace("{}", "dog"));
    const { data } = await clip.encodeText(captions);
    const mean = Array.from({ length: dim }, (_, i) =>
      captions.reduce((sum, _, j) => sum + (data[j * dim + i] ?? 0), 0),
    );
    const norm = Math.hypot(...mean);
    const dog = classifier.embeddings.data.subarray(dim, 2 * dim);
    expect(
      maxError(
        dog,
        mean.map((x) => x / norm),
      ),
    ).toBeLessThan(1e-6);
    const own = await clip.zeroShotClassifier(labels, { templates: [(label) => `my ${label}`, "the {}"] });
    expect(own.embeddings.shape).toEqual([3, dim]);
  });

  test.each(["$$ bill", "Levi$'s", "a $& b", "$` and $'", "$1 $<name> $$$$", "{} in {}", "back\\slash", ""])(
    "puts the label %j into captions as it is typed",
    async (label) => {
      // a function bypasses the templates
      const same = (a: ZeroShotClassifier, b: ZeroShotClassifier) =>
        expect(maxError(a.embeddings.data, b.embeddings.data)).toBe(0);
      const make = (templates: Template | Template[]) =>
        clip.zeroShotClassifier([label], { templates, truncate: true });
      same(await make("a photo of {}."), await make((name) => `a photo of ${name}.`));
      same(await make("{} or {}: {}"), await make((name) => `${name} or ${name}: ${name}`));
      same(await make("simple"), await make(TEMPLATES.simple.map((set) => (name) => set.split("{}").join(name))));
      same(await clip.zeroShotClassifier([label]), await make((name) => `a photo of a ${name}.`));
    },
  );

  test("scores each label independently with SigLIP", async () => {
    const texts = { inputIds: new Int32Array(3 * 16).map((_, i) => (7 * i) % 512) };
    const { logitsPerImage, probabilities } = await siglip.logits(images[0] as ImageInput, texts);
    const expected = logitsPerImage.map((x) => 1 / (1 + Math.exp(-x)));
    expect(maxError(probabilities, expected)).toBeLessThan(1e-6);
  });

  test.each([
    [
      "labels",
      () => clip.zeroShotClassifier([7 as never]),
      "invalid-option",
      /labels: expected strings, got number at 0/,
    ],
    ["no labels", () => clip.zeroShotClassifier([]), "empty-batch", /at least 1 text/],
    [
      "a template without a place",
      () => clip.zeroShotClassifier(labels, { templates: "a photo" }),
      "invalid-option",
      /templates/,
    ],
    [
      "an unknown set of templates",
      () => clip.zeroShotClassifier(labels, { templates: ["openai", "opanai"] }),
      "invalid-option",
      /templates: expected one or more captions with \{\}.*openai or simple.*got "opanai"/,
    ],
    [
      "a template that is not a string",
      () => clip.zeroShotClassifier(labels, { templates: ["a {}", 7 as never] }),
      "invalid-option",
      /templates: .*got 7/,
    ],
    [
      "a template that does not return a string",
      () => clip.zeroShotClassifier(labels, { templates: (() => undefined) as never }),
      "invalid-option",
      /templates: expected functions that return strings, got undefined/,
    ],
    [
      "a string in place of a list of labels",
      () => clip.zeroShotClassifier("cat" as never),
      "invalid-option",
      /labels: expected strings, got "cat"/,
    ],
    [
      "no templates",
      () => clip.zeroShotClassifier(labels, { templates: [] }),
      "invalid-option",
      /expected one or more captions.*got 0/,
    ],
    [
      "topK",
      async () => (await clip.zeroShotClassifier(labels)).classify(images[0] as ImageInput, { topK: 0 }),
      "invalid-option",
      /topK: expected a whole number above 0, got 0/,
    ],
  ])("refuses %s", async (_, call, code, message) => {
    await expect(call()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});
