/** Images cropped anew in each epoch, beside the training. */

import { ClipTrainer, type FitEvent, type FitOptions, type ImageTextPair } from "clipwright";
import { describe, expect, test } from "vitest";
import { colourPairs, fixture, inBrowser, tinyConfig } from "../support";

const options: FitOptions = { batchSize: 4, epochs: 4, lr: 1e-2, warmup: 2, seed: 5 };
const parts: FitOptions["augment"] = { scale: [0.2, 0.8], flip: 0.5 };
const files = ["noise_60x45.png", "checker_300x300.png", "palette_90x60.png", "exif6_120x80.jpg", "gray_75x50.png"];

/** Images of several sizes, each given in another form. */
async function pictures(): Promise<ImageTextPair[]> {
  const bytes = await Promise.all(files.map((name) => fixture(`preprocess/images/${name}`)));
  const [view, blob, file, buffer, last] = bytes as [Uint8Array<ArrayBuffer>, ...Uint8Array<ArrayBuffer>[]];
  const large = new Uint8Array(view.length + 2_000);
  large.set(view, 1_000);
  const address = inBrowser
    ? `${location.origin}/test/fixtures/preprocess/images/${files[4]}`
    : new URL(`../fixtures/preprocess/images/${files[4]}`, import.meta.url);
  const images = [
    large.subarray(1_000, 1_000 + view.length),
    new Blob([blob as BlobPart]),
    new File([file as BlobPart], "picture"),
    (buffer as Uint8Array<ArrayBuffer>).slice().buffer,
    last === undefined ? "" : address,
    { data: new Uint8Array(40 * 30 * 3).map((_, i) => (i * 7) % 256), width: 40, height: 30 },
  ];
  return images.map((image, i) => ({ image, text: `picture ${i}` }));
}

const create = () => ClipTrainer.create({ config: tinyConfig, device: "cpu", seed: 3 });

async function take(run: AsyncIterable<FitEvent>, count = 99): Promise<FitEvent[]> {
  const events = [];
  for await (const event of run) {
    events.push(event);
    if (events.length === count) break;
  }
  return events;
}

async function losses(pairs: ImageTextPair[], options: FitOptions): Promise<number[]> {
  using trainer = await create();
  return (await take(trainer.fit(pairs, options))).map(({ loss }) => loss);
}

describe("images of every kind", () => {
  test("are cropped anew in each epoch, by the seed", async () => {
    const pairs = await pictures();
    const cut = await losses(pairs, { ...options, augment: parts });
    expect(cut).toHaveLength(4);
    expect(cut.every(Number.isFinite)).toBe(true);
    expect(await losses(pairs, { ...options, augment: parts })).toEqual(cut);
    expect(await losses(pairs, options)).not.toEqual(cut);
    // at a negligible learning rate, the loss of all pairs in one batch changes only with the images
    const still = { ...options, batchSize: 6, lr: 1e-12, weightDecay: 0 };
    const rounded = (values: number[]) => new Set(values.map((value) => value.toFixed(5))).size;
    expect(rounded(await losses(pairs, still))).toBe(1);
    expect(rounded(await losses(pairs, { ...still, augment: parts }))).toBe(4);
  });

  test("are the same after a stop and in another worker", async () => {
    const pairs = await pictures();
    const run = { ...options, batchSize: 2, augment: parts };
    using whole = await create();
    const expected = await take(whole.fit(pairs, run));
    expect(expected).toHaveLength(12);
    using first = await create();
    const got = await take(first.fit(pairs, run), 5);
    got.push(...(await take(first.resumeFit(pairs), 2)));
    using second = await ClipTrainer.resume(await first.saveCheckpoint(), { device: "cpu" });
    got.push(...(await take(second.resumeFit(pairs))));
    expect(got.map(({ loss }) => loss)).toEqual(expected.map(({ loss }) => loss));
    expect(await second.exportSafetensors("hf")).toEqual(await whole.exportSafetensors("hf"));
  });

  test("are skipped where they cannot be read", async () => {
    const [first, ...rest] = await pictures();
    const pairs = [{ image: new Uint8Array([1, 2, 3]), text: "none" }, ...rest, first as ImageTextPair];
    using trainer = await create();
    const [event] = await take(trainer.fit(pairs, { ...options, augment: parts, badPairs: "skip" }));
    expect(event?.skipped).toMatchObject([{ index: 0, code: "undecodable-image" }]);
  });
});

test("cropping the whole image is the same as no augmentation", async () => {
  const pairs = colourPairs(8);
  const all: FitOptions["augment"] = { scale: [1, 1], ratio: [1, 1] };
  expect(await losses(pairs, { ...options, augment: all })).toEqual(await losses(pairs, options));
});

test("a run tells how much of its time it waits for images", async () => {
  using trainer = await create();
  const pairs = await pictures();
  for (const { waiting } of await take(trainer.fit(pairs, { ...options, augment: {} }))) {
    expect(waiting).toBeGreaterThan(0);
    expect(waiting).toBeLessThan(1);
  }
  for (const { waiting } of await take(trainer.fit(pairs, options))) expect(waiting).toBe(0);
});

test.each([
  [{ augment: { scale: [0, 1] } }, /augment\.scale/],
  [{ augment: { scale: [0.9] } }, /augment\.scale/],
  [{ augment: { scale: 0.5 } }, /augment\.scale/],
  [{ augment: { ratio: [2, 1] } }, /augment\.ratio/],
  [{ augment: { flip: "often" } }, /augment\.flip/],
  [{ augment: {}, lock: "image" }, /augment/],
])("%j is refused before anything is sent", async (wrong, message) => {
  using trainer = await create();
  const sent = function* () {
    yield* colourPairs(4);
    throw new Error("sent");
  };
  const run = trainer.fit(sent(), { ...options, ...(wrong as FitOptions) }).next();
  await expect(run).rejects.toMatchObject({ code: "invalid-option", message: expect.stringMatching(message) });
});

test.skipIf(inBrowser)("a deleted image ends the run, which resumes once it is back", async () => {
  const { copyFile, mkdtemp, rename } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const folder = await mkdtemp(`${tmpdir()}/clipwright-augment-`);
  const paths = files.slice(0, 4).map((name) => `${folder}/${name}`);
  for (const [i, path] of paths.entries()) {
    await copyFile(new URL(`../fixtures/preprocess/images/${files[i]}`, import.meta.url), path);
  }
  const pairs = paths.map((image, i) => ({ image, text: `picture ${i}`, key: files[i] as string }));
  const run = { ...options, augment: parts };
  const expected = await losses(pairs, run);

  using trainer = await create();
  const [gone] = paths as [string];
  const got: number[] = [];
  const failing = async () => {
    for await (const { loss } of trainer.fit(pairs, run)) {
      got.push(loss);
      await rename(gone, `${gone}.away`).catch(() => undefined);
    }
  };
  await expect(failing()).rejects.toMatchObject({
    code: "source-unreadable",
    message: expect.stringMatching(/^pair 0 \(noise_60x45\.png\): cannot read the file/),
  });
  await rename(`${gone}.away`, gone);
  got.push(...(await take(trainer.resumeFit(pairs))).map(({ loss }) => loss));
  expect(got).toEqual(expected);
});
