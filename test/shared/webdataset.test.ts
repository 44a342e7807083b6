/** Shards that stream, and shards that are broken. */

import { isClipError, webDataset } from "clipwright";
import { packTar } from "modern-tar";
import { expect, test } from "vitest";
import { read } from "../support";

const file = (name: string, body: string | Uint8Array) => {
  const data = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return { header: { name, size: data.length, type: "file" as const }, body: data };
};
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

test("pairs come in order, whatever the order inside them; other members are passed over", async () => {
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

test("bytes, Blob, Response and a stream of single bytes give the same", async () => {
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

test("pairs are there before the shard has ended", async () => {
  // far more than the decoder's buffer holds
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

test("a pair without its half is named", async () => {
  expect(await failure(await shard(["1.png", "P"], ["2.txt", "two"]))).toMatch(
    /sample 1: expected a picture and a caption, got a picture without a caption/,
  );
  expect(await failure(await shard(["1.png", "P"], ["1.txt", "one"], ["2.txt", "two"]))).toMatch(
    /sample 2: .*got a caption without a picture/,
  );
});

test("a tar cut anywhere is no shorter data set", async () => {
  const bytes = await shard(["1.png", "P".repeat(700)], ["1.txt", "one"], ["2.png", "P"], ["2.txt", "two"]);
  // inside a header, inside a body, between two members, before the end
  for (const length of [100, 512, 900, 2048, 2560, bytes.length - 1024, bytes.length - 512, bytes.length - 1, 0]) {
    expect(await failure(bytes.slice(0, length)), `cut at ${length}`).toMatch(/tar/);
  }
});

test("what is no tar, and what could not be fetched", async () => {
  expect(await failure(new TextEncoder().encode("not a tar at all ".repeat(100)))).toMatch(/tar/);
  expect(await failure(new Response("no", { status: 404 }))).toMatch(/HTTP 404/);
});

test("the emoji shards hold what the docs say", async () => {
  const [training, heldOut] = await Promise.all(
    ["train", "heldout"].map(async (name) => all(await read(`examples/data/emoji-${name}.tar`))),
  );
  expect([training?.length, heldOut?.length]).toEqual([3358, 413]);
  for (const { text } of heldOut ?? []) expect(text).toMatch(/skin tone/);
  const seen = new Set(training?.map((pair) => pair.text));
  expect(heldOut?.some((pair) => seen.has(pair.text))).toBe(false);
});
