/** Images, tables and shards from servers that compress, send no length, break off or want a token; `data:` and `blob:` addresses. */

import { Clip, ClipTrainer, captionTable, isClipError, webDataset } from "clipwright";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fixture, inBrowser, maxError, startModelServer, tinyConfig } from "../support";

const PICTURE = "cases/caption-tables/p0.png";
const SECRET = "s3cret-of-this-test";

let server: { base: string; stop(): Promise<void> };
let count = 0;
let base: string;
let trainer: ClipTrainer;
let picture: Uint8Array<ArrayBuffer>;
let pixels: Float32Array;

beforeAll(async () => {
  server = await startModelServer();
  const config = { ...tinyConfig, text: { ...tinyConfig.text, vocabSize: 49408 } };
  trainer = await ClipTrainer.create({ config, device: "cpu" });
  picture = await fixture(PICTURE);
  pixels = await trainer.preprocess(picture);
});
afterAll(() => {
  trainer.dispose();
  return server.stop();
});
beforeEach(() => {
  base = `${server.base}addresses-${Date.now()}-${count++}/`;
});

const set = (options: Record<string, string | number>) =>
  fetch(`${base}set?${new URLSearchParams(options as Record<string, string>)}`);
const put = (path: string, body: string | Uint8Array<ArrayBuffer>) =>
  fetch(`${base}put/${path}`, { method: "PUT", body });

async function failure(promise: Promise<unknown>): Promise<{ code: string; message: string }> {
  const error = await promise.then(
    () => undefined,
    (error) => error,
  );
  if (!isClipError(error)) throw error ?? new Error("expected an error, got none");
  return error;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** A tar file of files by name, without its end. */
function tarOf(files: Record<string, Uint8Array>): Uint8Array<ArrayBuffer> {
  const blocks = Object.entries(files).flatMap(([name, bytes]) => {
    const header = new Uint8Array(512);
    const write = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
    write(name, 0);
    write("0000644\0", 100);
    write(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124);
    write("        0", 148);
    write("ustar\x0000", 257);
    const sum = header.reduce((sum, byte) => sum + byte, 0);
    write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    const body = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
    body.set(bytes);
    return [header, body];
  });
  const whole = new Uint8Array(blocks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const block of blocks) {
    whole.set(block, at);
    at += block.length;
  }
  return whole;
}

describe("an image", () => {
  test.each(["plain", "chunked", "gzip", "br", "deflated-name"])("from a server that answers %s", async (mode) => {
    await set({ mode });
    expect(maxError(await trainer.preprocess(base + PICTURE), pixels)).toBe(0);
  });

  test("that breaks off is refused with its name", async () => {
    await set({ mode: "cut", bytes: 50 });
    const { code, message } = await failure(trainer.preprocess(`${base}${PICTURE}?k=${SECRET}`));
    expect(code).toBe("source-unreadable");
    expect(message).toMatch(/p0\.png\?…: cannot fetch the image: the transfer broke off/);
    expect(message).not.toContain(SECRET);
    await set({ mode: "chunked-half" });
    expect((await failure(trainer.preprocess(base + PICTURE))).code).toBe("undecodable-image");
  });

  test("without an end is read up to a limit", async () => {
    await set({ mode: "endless" });
    const { message } = await failure(trainer.preprocess(base + PICTURE));
    expect(message).toMatch(/expected at most \d+ bytes, got more/);
  });

  test.each([
    ["a query", (at: string) => `${at}?k=${SECRET}`],
    ["a password", (at: string) => at.replace("//", `//me:${SECRET}@`)],
  ])("keeps the secret of %s out of messages", async (_, sign) => {
    expect(maxError(await trainer.preprocess(sign(base + PICTURE)), pixels)).toBe(0);
    for (const mode of ["missing", "html", "down"]) {
      await set({ mode });
      for (const image of [sign(base + PICTURE), new URL(sign(base + PICTURE))]) {
        expect((await failure(trainer.preprocess(image))).message).not.toContain(SECRET);
        const pairs = [{ image, text: "a" }];
        expect((await failure(trainer.fit(pairs, { epochs: 1 }).next())).message).not.toContain(SECRET);
        const [result] = await all(trainer.encodeImages([image]));
        expect(result && "error" in result && result.error.message).not.toContain(SECRET);
      }
    }
  });

  test("of a blob: address may be revoked when the call has begun", async () => {
    const blob = URL.createObjectURL(new Blob([picture]));
    const found = trainer.preprocess(blob);
    URL.revokeObjectURL(blob);
    expect(maxError(await found, pixels)).toBe(0);
    const { code, message } = await failure(trainer.preprocess(blob));
    expect(code).toBe("source-unreadable");
    expect(message).toMatch(/was it revoked\?/);
  });

  test.runIf(inBrowser)("of an <img> whose blob: address was revoked", async () => {
    const image = new Image();
    image.src = URL.createObjectURL(new Blob([picture]));
    await image.decode();
    URL.revokeObjectURL(image.src);
    expect(maxError(await trainer.preprocess(image), pixels)).toBeLessThan(0.05);
  });
});

describe("a table", () => {
  const rows = "file_name\ttext\na#1.png\tx\n";

  test.each(["plain", "chunked", "gzip", "br"])("from a server that answers %s", async (mode) => {
    await put("own/t.tsv", rows);
    await set({ mode });
    const [pair] = await all(captionTable(`${base}own/t.tsv?k=1`));
    expect(String(pair?.image)).toBe(`${base}own/a%231.png?k=1`);
  });

  test("that breaks off, or has no end, is refused without its secret", async () => {
    await put("own/t.tsv", rows.repeat(9999));
    await set({ mode: "cut", bytes: 50 });
    const { code, message } = await failure(all(captionTable(`${base}own/t.tsv?k=${SECRET}`)));
    expect(code).toBe("source-unreadable");
    expect(message).toMatch(/t\.tsv\?…: the transfer broke off at byte \d+/);
    expect(message).not.toContain(SECRET);
  });

  test("whose names have \\ means files of that name, or folders as on Windows: what the server has", async () => {
    const table = `file_name\ttext\n${["a\\b.png", "a\\c.png"].map((name) => `${name}\tx`).join("\n")}\n`;
    for (const [folder, path] of [
      ["literal", "a%5Cb.png"],
      ["windows", "a/b.png"],
    ] as const) {
      await put(`${folder}/t.tsv`, table);
      await put(`${folder}/${path}`, picture);
      const pairs = await all(captionTable(`${base}${folder}/t.tsv`));
      expect(pairs.map(({ image }) => String(image))).toEqual(
        [path, path.replace("b", "c")].map((name) => `${base}${folder}/${name}`),
      );
    }
  });

  test("in a data: or blob: address has no neighbours: names are beside the page or the working directory", async () => {
    const blob = URL.createObjectURL(new Blob([rows]));
    for (const table of [`data:text/tab-separated-values,${encodeURIComponent(rows)}`, blob]) {
      const [pair] = await all(captionTable(table));
      expect(String(pair?.image)).toBe(inBrowser ? new URL("a%231.png", document.baseURI).href : "a#1.png");
    }
  });
});

describe("a shard", () => {
  const names = ["50%25 ü#1?a=b", "c:\\d", "data:1,2"];
  const shard = (caption = "a caption") => {
    const text = new TextEncoder().encode(caption);
    return tarOf(
      Object.fromEntries(
        names.flatMap((name) => [
          [`${name}.png`, picture],
          [`${name}.txt`, text],
        ]),
      ),
    );
  };

  test.each(["plain", "chunked", "gzip", "br"])("from a server that answers %s", async (mode) => {
    await put("own/s.tar", shard());
    await set({ mode });
    const pairs = await all(webDataset(`${base}own/s.tar?k=1`));
    expect(pairs.map(({ key }) => key)).toEqual(names);
    const [event] = await all(trainer.fit(pairs, { epochs: 1, batchSize: 3 }));
    expect(event?.batchSize).toBe(3);
  });

  test.each(["cut", "chunked-half"])("that is %s is refused without its secret", async (mode) => {
    await put("own/s.tar", shard("long ".repeat(120)));
    await set({ mode, bytes: 900 });
    const { code, message } = await failure(all(webDataset(`${base}own/s.tar?k=${SECRET}`)));
    expect(code).toBe(mode === "cut" ? "source-unreadable" : "invalid-dataset");
    expect(message).toMatch(
      mode === "cut" ? /s\.tar\?…: the transfer broke off at byte \d+/ : /s\.tar\?…: truncated tar/,
    );
    expect(message).not.toContain(SECRET);
  });
});

test("a checkpoint of a file: address, or of a path, whose name has #, % and ? loads in Node", async () => {
  if (inBrowser) {
    expect((await failure(Clip.load("file:///a/b/"))).message).toMatch(/cannot read the path .* in a browser/);
    return;
  }
  const { cp, mkdtemp, rm } = await import("node:fs/promises");
  const { tmpdir } = await import("node:os");
  const { join } = await import("node:path");
  const { fileURLToPath, pathToFileURL } = await import("node:url");
  const root = await mkdtemp(join(tmpdir(), "clipwright 100% #1?-"));
  const folder = join(root, "ü\\ %41: 1");
  await cp(fileURLToPath(new URL("../fixtures/models/clip-quickgelu-p8/hf", import.meta.url)), folder, {
    recursive: true,
  });
  const { href } = pathToFileURL(folder);
  for (const source of [folder, href, new URL(href), `${href}/model.safetensors`, href.replace("100%25", "100%")]) {
    (await Clip.load(source, { device: "cpu" })).dispose();
  }
  await rm(root, { recursive: true });
});
