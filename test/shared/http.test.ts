/** Checkpoints from servers that answer in other ways than with a length and the range that was asked for. */

import { Clip, type ClipError, type ClipSource, ClipTrainer, isClipError, type LoadOptions } from "clipwright";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fixture, get, inBrowser, maxError, parseSafetensors, startModelServer } from "../support";

const FOLDER = "models/clip-quickgelu-p8/hf/";
const WEIGHTS = "model.safetensors";

let server: { base: string; stop(): Promise<void> };
let count = 0;
let base: string;

beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  base = `${server.base}http-${Date.now()}-${count++}/`;
});

/** The same server as another origin. */
const elsewhere = (address: string) =>
  inBrowser ? address.replace("//", "//other.") : address.replace("127.0.0.1", "localhost");

const set = (options: Record<string, string | number>, at = base) =>
  fetch(`${at}set?${new URLSearchParams(options as Record<string, string>)}`);
interface Stats {
  sent: number;
  requests: string[];
  closed: number;
  headers: Record<string, string>;
}
const stats = async (at = base): Promise<Stats> => (await fetch(`${at}stats`)).json();
const put = (path: string, body: Uint8Array) =>
  fetch(`${base}put/${path}`, { method: "PUT", body: body as Uint8Array<ArrayBuffer> });
const load = (source: ClipSource, options: LoadOptions = {}) => Clip.load(source, { device: "cpu", ...options });

async function failure(promise: Promise<Clip>): Promise<ClipError> {
  try {
    (await promise).dispose();
  } catch (error) {
    if (isClipError(error)) return error;
    throw error;
  }
  throw new Error("expected an error, got none");
}

const golden = async () => parseSafetensors(await fixture("models/clip-quickgelu-p8/golden.safetensors")).tensors;

async function isRight(clip: Clip): Promise<void> {
  const tensors = await golden();
  const { data } = await clip.encodeText({ inputIds: get(tensors, "input_ids").data as Int32Array });
  expect(maxError(data, get(tensors, "text_embeds").data)).toBeLessThan(1e-4);
  expect(await clip.tokenize("a cat")).toHaveLength(77);
  clip.dispose();
}

describe("a server that answers", () => {
  test.each([
    "chunked",
    "gzip",
    "br",
    "deflated-name",
    "gzip-static",
    "no-total",
    "other-range",
    "no-range-header",
    "parts",
    "refuses-ranges",
    "small-ranges",
  ])("%s is read whole", async (mode) => {
    await set({ mode });
    for (const cache of [true, false]) {
      for (const towers of ["both", "text"] as const) await isRight(await load(base + FOLDER, { towers, cache }));
    }
    await isRight(await load(`${base}${FOLDER}${WEIGHTS}`, { cache: false }));
    // from the cache, without the server
    await set({ mode: "down" });
    await isRight(await load(base + FOLDER));
  });

  test.each([
    ["chunked-half", /truncated: the answer ends at byte \d+ of \d+/],
    ["chunked-more", /expected \d+ bytes, as its header says, got more/],
    ["endless", /expected \d+ bytes, as its header says, got more/],
  ])("%s is refused, and nothing is cached", async (mode, message) => {
    for (const cache of [true, false]) {
      await set({ mode, only: WEIGHTS });
      expect((await failure(load(base + FOLDER, { cache }))).message).toMatch(message);
    }
    await set({ mode: "plain" });
    const clip = await load(base + FOLDER);
    expect((await clip.cache.list()).filter(({ url }) => url === base + FOLDER)).toHaveLength(1);
    await isRight(clip);
  });

  test.each(["bomb", "endless"])("%s in place of a text is read up to a limit", async (mode) => {
    await set({ mode, only: "config.json" });
    const error = await failure(load(base + FOLDER, { cache: false }));
    expect(error.code).toBe("source-unreadable");
    expect(error.message).toMatch(/config\.json: expected at most \d+ bytes, got more/);
    await expect.poll(async () => (await stats()).sent).toBeLessThan(200 << 20);
  });

  test("without a length is told apart from a model: a web page, an empty file, a pointer of Git LFS", async () => {
    const encode = (text: string) => new TextEncoder().encode(text);
    for (const [body, message] of [
      ["<!doctype html><title>App</title>", /got a web page/],
      ["", /got an empty file/],
      ["version https://git-lfs.github.com/spec/v1\noid sha256:0", /got a Git LFS pointer/],
      ["\x10\0\0\0\0\0\0\0{}", /truncated: expected a header of 24 bytes, got 10/],
      ["\x02\0\0\0\0\0\0\0{]", /expected a header in JSON/],
      ['\x1c\0\0\0\0\0\0\0{"a":{"data_offsets":["x"]}}', /expected data_offsets/],
    ] as const) {
      await put(`own/${WEIGHTS}`, encode(body));
      for (const mode of ["chunked", "refuses-ranges"]) {
        await set({ mode, only: "own" });
        const { code, message: got } = await failure(load(`${base}own/`, { cache: false }));
        expect(code).toBe("invalid-checkpoint");
        if (mode === "chunked") expect(got).toMatch(message);
      }
    }
  });

  test("a text that breaks off at first is read again", async () => {
    await set({ mode: "cut-once", only: "config.json", bytes: 20 });
    await isRight(await load(base + FOLDER, { cache: false }));
  });
});

describe("of another origin", () => {
  test.each(["plain", "chunked", "gzip", "no-ranges", "small-ranges", "gzip-static"])("%s", async (mode) => {
    // a page sees neither its ETag nor the length of its files
    const other = elsewhere(base);
    await set({ mode, version: "modified" }, other);
    for (const cache of [true, false]) await isRight(await load(other + FOLDER, { cache }));
  });
});

describe("versions of a file", () => {
  const names = ["config.json", "tokenizer.json", "preprocessor_config.json", WEIGHTS];

  beforeEach(async () => {
    for (const name of names) {
      const bytes = await fixture(FOLDER + name).catch(() => undefined);
      if (bytes) await put(`own/${name}`, bytes);
    }
  });

  /** Weights of the same size: every one is another. */
  async function changed(): Promise<Uint8Array> {
    const bytes = await fixture(FOLDER + WEIGHTS);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const start = 8 + Number(view.getBigUint64(0, true));
    for (let at = start; at + 4 <= bytes.length; at += 4) view.setFloat32(at, 0.9 * view.getFloat32(at, true), true);
    return bytes;
  }

  const embeddings = async (clip: Clip) => {
    const inputIds = get(await golden(), "input_ids").data as Int32Array;
    const text = await clip.encodeText({ inputIds });
    const image = await clip.encodeImage({ pixelValues: new Float32Array(3 * 32 * 32).map((_, i) => (i % 7) / 7) });
    clip.dispose();
    return [...text.data, ...image.data];
  };

  test.each([
    ["etag", true],
    ["etag", false],
    ["weak", true],
    ["modified", true],
    ["modified", false],
  ])("are never mixed: %s, cache %s", async (version, cache) => {
    const files = await Promise.all(names.map(async (name) => new File([await fixture(FOLDER + name)], name)));
    const newer = await changed();
    files[names.indexOf(WEIGHTS)] = new File([newer as Uint8Array<ArrayBuffer>], WEIGHTS);
    const expected = await embeddings(await load(files));
    // each connection breaks; the file changes while it is read
    await set({ mode: "cut", bytes: 100_000, version, only: WEIGHTS });
    let swap: Promise<unknown> | undefined;
    const onProgress = ({ loadedBytes }: { loadedBytes: number }) => {
      if (loadedBytes >= 100_000) swap ??= put(`own/${WEIGHTS}`, newer);
    };
    const clip = await load(`${base}own/`, { cache, onProgress });
    expect(swap).toBeDefined();
    expect(await embeddings(clip)).toEqual(expected);
  });

  test.each([true, false])("that nothing tells apart are not joined, cache %s", async (cache) => {
    await set({ mode: "cut", bytes: 100_000, version: "none" });
    const error = await failure(load(`${base}own/`, { cache }));
    expect(error.code).toBe("source-unreadable");
    expect(error.message).toMatch(/broke off at byte \d+ of \d+, and the server names no version/);
    // one that breaks once is read again from its start
    await set({ mode: "cut-once", bytes: 100_000 });
    (await load(`${base}own/`, { cache })).dispose();
  });

  test.each(["weak", "modified", "none"])("a refresh sees a change: %s", async (version) => {
    await set({ mode: "plain", version });
    const old = await embeddings(await load(`${base}own/`));
    await put(`own/${WEIGHTS}`, await changed());
    expect(await embeddings(await load(`${base}own/`))).toEqual(old);
    expect(await embeddings(await load(`${base}own/`, { cache: "refresh" }))).not.toEqual(old);
  });
});

describe("names", () => {
  test("of shards are names of files", async () => {
    const map = JSON.parse(
      new TextDecoder().decode(await fixture("models/clip-gelu-p32-laion/hf-sharded/model.safetensors.index.json")),
    ) as { weight_map: Record<string, string> };
    const from = "models/clip-gelu-p32-laion/hf-sharded/";
    const odd = (name: string) => `50% ü#1?a=b;c+:@ ${name}`;
    for (const name of new Set(Object.values(map.weight_map)))
      await put(`own/${encodeURIComponent(odd(name))}`, await fixture(from + name));
    for (const name of ["config.json", "tokenizer.json"]) await put(`own/${name}`, await fixture(from + name));
    const weight_map = Object.fromEntries(Object.entries(map.weight_map).map(([key, name]) => [key, odd(name)]));
    await put(`own/${WEIGHTS}.index.json`, new TextEncoder().encode(JSON.stringify({ weight_map })));
    for (const cache of [true, false]) {
      const clip = await load(`${base}own/?token=secret`, { cache });
      expect((await clip.encodeText("a cat")).shape).toEqual([1, 16]);
      clip.dispose();
    }
  });

  test("of one file stay as the address spells them", async () => {
    const clip = await load(base + FOLDER, { cache: false });
    const own = await clip.exportSafetensors();
    clip.dispose();
    for (const spelling of ["my%20model%231.safetensors", "my model%231.safetensors", "%6Dy model%231.safetensors"]) {
      await put("own/my%20model%231.safetensors", own);
      await isRight(await load(`${base}own/${spelling}`));
    }
    const error = await failure(load(`${base}own/no%20model%231.safetensors`));
    expect(error.message).toMatch(/the server has no no model#1\.safetensors/);
  });

  test.each([
    "clip-quickgelu-p8/hf",
    "clip-quickgelu-p8/hf/",
    "clip-quickgelu-p8/hf?library=transformers",
    "clip-quickgelu-p8/hf/tree/main",
    "clip-quickgelu-p8/hf/tree/refs%2Fpr%2F1",
    "clip-quickgelu-p8/hf/blob/main/model.safetensors",
    "clip-quickgelu-p8/hf/resolve/main/model.safetensors?download=true",
  ])("of pages of the Hub: %s", async (page) => {
    const endpoint = `${base}models`;
    await isRight(await load(`${endpoint}/${page}`, { endpoint, cache: false }));
  });

  test("the query of a page, and that of an endpoint, goes with every request", async () => {
    await set({ mode: "signed" });
    const endpoint = `${base}models`;
    await isRight(await load(`${endpoint}/clip-quickgelu-p8/hf?token=a`, { endpoint, cache: false }));
    await isRight(await load("clip-quickgelu-p8/hf", { endpoint: `${endpoint}/?token=a`, cache: false }));
    await isRight(
      await load(`${endpoint}/clip-quickgelu-p8/hf/tree/main`, { endpoint: `${endpoint}?token=a`, cache: false }),
    );
  });
});

test("a trainer starts from a server as a model does", async () => {
  await set({ mode: "plain" });
  const headers = { Authorization: "Bearer a" };
  const trainer = await ClipTrainer.create({
    from: "clip-quickgelu-p8/hf",
    endpoint: `${base}models`,
    revision: "v1",
    headers,
    device: "cpu",
  });
  trainer.dispose();
  const { requests, headers: sent } = await stats();
  expect(requests).toContain("models/clip-quickgelu-p8/hf/resolve/v1/model.safetensors");
  expect(sent.authorization).toBe("Bearer a");
});

test("data: and blob: addresses of a whole model load", async () => {
  const clip = await load(base + FOLDER, { cache: false });
  const bytes = await clip.exportSafetensors();
  clip.dispose();
  const blob = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  const loading = load(blob);
  await isRight(await loading);
  await isRight(await load(new URL(blob)));
  URL.revokeObjectURL(blob);
  expect(await failure(load(blob))).toMatchObject({ code: "source-unreadable" });
  let binary = "";
  for (let at = 0; at < bytes.length; at += 4096) binary += String.fromCharCode(...bytes.subarray(at, at + 4096));
  await isRight(await load(`data:application/octet-stream;base64,${btoa(binary)}`));
  const wrong = await failure(load("data:text/plain,no%20model%20at%20all"));
  expect(wrong).toMatchObject({ code: "invalid-checkpoint" });
  expect(wrong.message.length).toBeLessThan(400);
});

describe("secrets", () => {
  const password = "s3cret-of-this-test";

  test.each([
    ["in an unknown parameter", (at: string) => `${at}?k=${password}`],
    ["in a parameter without a name", (at: string) => `${at}?${password}`],
    ["in a password", (at: string) => at.replace("//", `//me:${password}@`)],
    ["in a fragment", (at: string) => `${at}#access_token=${password}`],
  ])("%s reach neither messages nor the cache", async (_, sign) => {
    const clip = await load(sign(base + FOLDER));
    expect(JSON.stringify([clip.info, await clip.cache.list()])).not.toContain(password);
    expect(await clip.cache.delete(sign(base + FOLDER))).toBe(1);
    await isRight(clip);
    for (const mode of ["missing", "html", "forbids"]) {
      await set({ mode });
      for (const source of [sign(`${base}nowhere/`), sign(`${base}nowhere/${WEIGHTS}`)])
        expect((await failure(load(source, { cache: false }))).message).not.toContain(password);
    }
    await set({ mode: "missing" });
    const error = await failure(load({ weights: new Uint8Array(9) }, { adapter: sign(`${base}nowhere/`) }));
    expect(error.message).not.toContain(password);
  });

  test("two files that an unknown parameter tells apart are two models in the cache", async () => {
    for (const name of ["a", "b"]) (await load(`${base}${FOLDER}?which=${name}`)).dispose();
    const clip = await load(`${base}${FOLDER}?which=a`);
    expect((await clip.cache.list()).filter(({ url }) => url.startsWith(base + FOLDER))).toHaveLength(2);
    clip.dispose();
  });

  test("user and password go as a header; headers do not follow a redirect to another origin", async () => {
    await isRight(await load((base + FOLDER).replace("//", "//me:a%20b@"), { cache: false }));
    expect((await stats()).headers.authorization).toBe(`Basic ${btoa("me:a b")}`);
    const cdn = elsewhere(`${server.base}cdn-${count}/`);
    await set({ mode: "redirect", to: cdn });
    const headers = { Authorization: "Bearer a", ...(inBrowser ? {} : { "X-Api-Key": "b", Cookie: "c=d" }) };
    await isRight(await load(base + FOLDER, { cache: false, headers }));
    const at = await stats(cdn);
    expect(at.requests.length).toBeGreaterThan(3);
    for (const name of Object.keys(headers)) {
      expect((await stats()).headers[name.toLowerCase()]).toBe(headers[name as keyof typeof headers]);
      expect(at.headers[name.toLowerCase()]).toBeUndefined();
    }
    expect(at.headers.range).toMatch(/^bytes=/);
  });

  test("the model's headers are not sent to an adapter of another origin", async () => {
    const headers = { Authorization: "Bearer a" };
    const other = elsewhere(`${server.base}adapter-${count}/`);
    const adapter = `${other}models/clip-quickgelu-p8/peft/`;
    (await load(base + FOLDER, { cache: false, headers, adapter })).dispose();
    expect((await stats()).headers.authorization).toBe("Bearer a");
    expect((await stats(other)).headers.authorization).toBeUndefined();
    await set({ mode: "signed" }, other);
    const error = await failure(load(base + FOLDER, { cache: false, headers, adapter }));
    expect(error.message).toContain(`the headers were not sent here, but to ${new URL(base).origin} alone`);
    // the files of a model have no origin
    const own = `${base}models/clip-quickgelu-p8/peft/`;
    const files = await Promise.all(
      ["config.json", WEIGHTS].map(async (name) => new File([await fixture(FOLDER + name)], name)),
    );
    (await load(files, { headers, adapter: own, cache: false })).dispose();
    expect((await stats()).headers.authorization).toBe("Bearer a");
  });

  test("a malformed header is refused without its value", async () => {
    const error = await failure(
      load(base + FOLDER, { headers: { Authorization: `Bearer ${password}\n\0` }, cache: false }),
    );
    expect(error.message).not.toContain(password);
  });
});

test("a missing file of a server that answers with a page or 403 is looked for under its other names", async () => {
  const shards = "models/clip-gelu-p32-laion/hf-sharded/";
  for (const mode of ["forbids", "html-for-nothing"]) {
    await set({ mode });
    (await load(base + shards, { cache: false })).dispose();
    const { code, message } = await failure(load(`${base}models/nowhere/`, { cache: false }));
    expect(code).toBe("source-unreadable");
    expect(message).toMatch(mode === "forbids" ? /HTTP 403/ : /got a web page/);
  }
});
