/** Streamed shards, and broken ones. */

import { isClipError, webDataset } from "clipwright";
import { packTar } from "modern-tar";
import { expect, test } from "vitest";
import { inBrowser, read } from "../support";

const file = (name: string, body: string | Uint8Array) => {
  const data = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return { header: { name, size: data.length, type: "file" as const }, body: data };
};
const pairOf = (name: string): [string, string][] => [
  [`${name}.png`, "P"],
  [`${name}.txt`, name],
];
const shard = (...entries: [string, string][]) => packTar(entries.map(([name, body]) => file(name, body)));

async function all(source: Parameters<typeof webDataset>[0]) {
  const pairs = [];
  for await (const pair of webDataset(source)) pairs.push(pair);
  return pairs;
}

async function failure(source: Parameters<typeof webDataset>[0]) {
  const error = await all(source).then(
    () => undefined,
    (error) => error,
  );
  if (!isClipError(error)) throw new Error(`expected a ClipError, got ${error}`);
  expect(error.code).toBe("invalid-dataset");
  return error.message;
}

test("pairs come in order, whatever the order of their members; other members are ignored", async () => {
  const pairs = await all(
    await shard(
      ["a/1.png", "P"],
      ["a/1.txt", " one \n"],
      ["a/1.json", "{}"],
      ["a/2.txt", "two"],
      ["a/2.WEBP", "W"],
      ["README", "x"],
    ),
  );
  expect(pairs.map(({ key, text }) => [key, text])).toEqual([
    ["a/1", "one"],
    ["a/2", "two"],
  ]);
  expect(new TextDecoder().decode(pairs[1]?.image as Uint8Array)).toBe("W");
});

test("bytes, Blob, Response and a stream of single bytes give the same pairs", async () => {
  const bytes = await shard(["1.png", "P"], ["1.txt", "one"]);
  const trickle = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  for (const source of [bytes, bytes.buffer, new Blob([bytes]), new Response(bytes), trickle]) {
    expect(await all(source)).toHaveLength(1);
  }
});

test("pairs are yielded before the shard has ended", async () => {
  // far more than the decoder buffers
  const picture = "P".repeat(64 * 1024);
  const entries = Array.from({ length: 64 }, (_, i): [string, string][] => [
    [`${i}.png`, picture],
    [`${i}.txt`, `pair ${i}`],
  ]);
  const bytes = await shard(...entries.flat());
  let sent = 0;
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        controller.enqueue(bytes.slice(sent, sent + 4096));
        sent += 4096;
        if (sent >= bytes.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  const first = await webDataset(stream).next();
  expect(first.value?.text).toBe("pair 0");
  expect(sent).toBeLessThan(bytes.length / 2);
});

test("an incomplete pair has an error, and its neighbours are complete", async () => {
  const pairs = await all(
    await shard(["1.png", "P"], ["2.txt", "two"], ["3.png", "P"], ["3.txt", "three"], ["4.txt", " "]),
  );
  expect(pairs.map(({ key, error }) => [key, error?.code])).toEqual([
    ["1", "invalid-dataset"],
    ["2", "invalid-dataset"],
    ["3", undefined],
    ["4", "invalid-dataset"],
  ]);
  expect(pairs[0]?.error?.message).toBe("image without a caption (.txt)");
  expect(pairs[1]?.error?.message).toMatch(/caption without an image/);
});

test("each line is a caption with captions: lines", async () => {
  const bytes = await shard(["1.png", "P"], ["1.txt", "one\r\n\n uno \n"]);
  const [whole] = await all(bytes);
  expect(whole).toMatchObject({ text: "one\r\n\n uno" });
  expect(whole).not.toHaveProperty("moreTexts");
  const pairs = [];
  for await (const pair of webDataset(bytes, { captions: "lines" })) pairs.push(pair);
  expect(pairs).toMatchObject([{ text: "one", moreTexts: ["uno"] }]);
  await expect(webDataset(bytes, { captions: "words" as "lines" }).next()).rejects.toMatchObject({
    code: "invalid-option",
  });
});

test("several shards are read one after another, and shuffled through a buffer", async () => {
  const shards = await Promise.all(
    [0, 1, 2].map((n) => shard(...Array.from({ length: 4 }, (_, i) => pairOf(`${4 * n + i}`)).flat())),
  );
  const texts = async (options: Parameters<typeof webDataset>[1]) => {
    const out = [];
    for await (const { text } of webDataset(shards, options)) out.push(Number(text));
    return out;
  };
  const inOrder = Array.from({ length: 12 }, (_, i) => i);
  expect(await texts({})).toEqual(inOrder);
  const mixed = await texts({ shuffle: 5, seed: 1 });
  expect([...mixed].sort((a, b) => a - b)).toEqual(inOrder);
  expect(mixed).not.toEqual(inOrder);
  // delayed by at most the buffer size
  expect(mixed.every((n, at) => n <= at + 5)).toBe(true);
  expect(await texts({ shuffle: 5, seed: 1 })).toEqual(mixed);
  expect(await texts({ shuffle: 5, seed: 2 })).not.toEqual(mixed);
  expect(await texts({ shuffle: 100 })).toHaveLength(12);
  await expect(texts({ shuffle: -1 })).rejects.toMatchObject({ code: "invalid-option" });
});

test("shards are given by address or path, also as a range of numbers", async () => {
  const place = (name: string) =>
    inBrowser
      ? `/examples/data/${name}`
      : decodeURIComponent(new URL(`../../examples/data/${name}`, import.meta.url).pathname);
  expect(await all(place("emoji-heldout.tar"))).toHaveLength(413);
  const missing = await all(place("no-{008..010}.tar")).catch((error) => error);
  expect(missing).toMatchObject({ code: inBrowser ? expect.any(String) : "source-unreadable" });
  expect(missing.message).toContain("no-008.tar");
  await expect(all("no-{3..1}.tar")).rejects.toMatchObject({ code: "invalid-option" });
  const cut = [await shard(...pairOf("1")), new File([(await shard(...pairOf("2"))).slice(0, 900)], "second.tar")];
  const error = await all(cut).catch((error) => error);
  expect([error.code, error.message]).toEqual(["invalid-dataset", expect.stringMatching(/^second\.tar: /)]);
});

test("a truncated tar is refused, not read as a shorter data set", async () => {
  const bytes = await shard(["1.png", "P".repeat(700)], ["1.txt", "one"], ["2.png", "P"], ["2.txt", "two"]);
  // inside a header, before a body, inside a body, inside its padding
  for (const length of [0, 1, 100, 511, 512, 900, 1300, 1535, 1600, 2048, 2060, 3072, 4095]) {
    expect(await failure(bytes.slice(0, length)), `cut at ${length}`).toMatch(/tar/);
  }
  // between two members it looks like an archive without an end marker
  expect(await all(bytes.slice(0, 2560))).toMatchObject([{ text: "one" }]);
  expect(await all(bytes.slice(0, 3584))).toMatchObject([{ text: "one" }, { error: { code: "invalid-dataset" } }]);
  for (const zeros of [0, 1, 512, 1023, 1024, 10_240]) {
    const padded = new Uint8Array(bytes.length - 1024 + zeros);
    padded.set(bytes.slice(0, padded.length));
    expect(await all(padded), `${zeros} zeros`).toHaveLength(2);
  }
});

test("other files, and failed downloads", async () => {
  expect(await failure(new TextEncoder().encode("not a tar at all ".repeat(100)))).toMatch(/tar/);
  await expect(all(new Response("no", { status: 404 }))).rejects.toMatchObject({
    code: "source-unreadable",
    message: expect.stringMatching(/HTTP 404/),
  });
});

test("the emoji shards have the pairs that the docs describe", async () => {
  const [training, heldOut] = await Promise.all(
    ["train", "heldout"].map(async (name) => all(await read(`examples/data/emoji-${name}.tar`))),
  );
  expect([training?.length, heldOut?.length]).toEqual([3358, 413]);
  for (const { text } of heldOut ?? []) expect(text).toMatch(/skin tone/);
  const seen = new Set(training?.map((pair) => pair.text));
  expect(heldOut?.some((pair) => seen.has(pair.text))).toBe(false);
});
