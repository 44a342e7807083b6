/** Checkpoints from good and faulty servers, with and without the cache. */

import { Clip, type ClipError, type ClipSource, isClipError, type LoadOptions, type LoadProgress } from "clipwright";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  fixture,
  get,
  inBrowser,
  maxError,
  parseSafetensors,
  startModelServer,
  text,
  writePrivateFile,
} from "../support";

const FOLDER = "models/clip-quickgelu-p8/hf/";
const SHARDS = "models/clip-gelu-p32-laion/hf-sharded/";

let server: { base: string; stop(): Promise<void> };
let count = 0;
let base: string;

beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  base = `${server.base}${Date.now()}-${count++}/`;
});

const set = async (mode: string, bytes = 0) => {
  await fetch(`${base}set?mode=${mode}&bytes=${bytes}`);
};
const stats = async (): Promise<{ sent: number; requests: string[]; closed: number }> =>
  (await fetch(`${base}stats`)).json();
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

/** Expects the outputs of the fixture's model. */
async function isRight(clip: Clip, folder = "clip-quickgelu-p8"): Promise<void> {
  const { tensors } = parseSafetensors(await fixture(`models/${folder}/golden.safetensors`));
  const { data } = await clip.encodeText({ inputIds: get(tensors, "input_ids").data as Int32Array });
  expect(maxError(data, get(tensors, "text_embeds").data)).toBeLessThan(1e-4);
}

test("a folder on a server is cached, and loads without the server", async () => {
  const progress: LoadProgress[] = [];
  const clip = await load(base + FOLDER, { onProgress: (event) => progress.push(event) });
  await isRight(clip);
  const { length } = await fixture(`${FOLDER}model.safetensors`);
  const downloads = progress.filter(({ phase }) => phase === "download");
  expect(downloads.length).toBeGreaterThan(0);
  expect(downloads.every(({ totalBytes }) => totalBytes === length)).toBe(true);
  const last = progress.at(-1);
  expect(last).toMatchObject({ phase: "load", loadedBytes: last?.totalBytes });
  const [kept] = await clip.cache.list();
  expect(kept).toMatchObject({ url: base + FOLDER, towers: "both", bytes: length });
  // the folder's tokenizer and transform
  const [ids] = [await clip.tokenize("a cat")];
  expect(ids.at(-1)).toBe(1023);
  expect(clip.info.preprocess).toMatchObject({ crop: "hf", size: 32 });
  clip.dispose();

  await set("down");
  const offline = await load(base + FOLDER);
  await isRight(offline);
  expect(await offline.tokenize("a cat")).toEqual(ids);
  expect((await stats()).requests.length).toBeGreaterThan(0);
  expect((await failure(load(base + FOLDER, { cache: false }))).code).toBe("source-unreadable");
  expect(await offline.cache.delete(base + FOLDER)).toBe(1);
  expect((await offline.cache.list()).some(({ url }) => url === base + FOLDER)).toBe(false);
  expect((await failure(load(base + FOLDER))).code).toBe("source-unreadable");
  offline.dispose();
});

describe("the cache", () => {
  const own = () => `${base}own/`;
  const put = (name: string, body: Uint8Array) =>
    fetch(`${base}put/own/${name}`, { method: "PUT", body: body as Uint8Array<ArrayBuffer> });

  beforeEach(async () => {
    for (const name of ["config.json", "model.safetensors"]) await put(name, await fixture(FOLDER + name));
  });

  /** The same model with another bias in the text tower's final norm: other bytes of the same size. */
  async function changed(): Promise<Uint8Array> {
    const bytes = await fixture(`${FOLDER}model.safetensors`);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const start = 8 + Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
    const [from, to] = header["text_model.final_layer_norm.bias"].data_offsets;
    for (let at = start + from; at < start + to; at += 4) view.setFloat32(at, at % 3, true);
    return bytes;
  }
  const isOther = (clip: Clip) => expect(isRight(clip)).rejects.toThrow();

  test("a refresh downloads only what has changed", async () => {
    (await load(own())).dispose();
    (await load(own(), { towers: "text" })).dispose();
    const { sent } = await stats();
    (await load(own())).dispose();
    expect((await stats()).sent).toBe(sent);
    (await load(own(), { cache: "refresh" })).dispose();
    // the small files, and one byte of the weights
    expect((await stats()).sent - sent).toBeLessThan(20_000);

    await put("model.safetensors", await changed());
    const kept = await load(own());
    await isRight(kept);
    kept.dispose();
    const anew = await load(own(), { cache: "refresh" });
    await isOther(anew);
    // towers of two versions are not mixed
    expect((await anew.cache.list()).filter(({ url }) => url === own())).toMatchObject([{ towers: "both" }]);
    anew.dispose();
    await set("down");
    const offline = await load(own());
    await isOther(offline);
    offline.dispose();
  });

  test.each([
    ["the server is down", () => set("down"), "source-unreadable"],
    [
      "the server has a broken file",
      async () => put("model.safetensors", (await changed()).fill(1, 8, 40)),
      "invalid-c",
    ],
    ["the download breaks off", async () => set("error"), "source-unreadable"],
  ])("is unchanged where a refresh fails: %s", async (_, spoil, code) => {
    (await load(own())).dispose();
    await spoil();
    expect((await failure(load(own(), { cache: "refresh" }))).code).toContain(code);
    await set("down");
    const clip = await load(own());
    await isRight(clip);
    expect((await clip.cache.list()).filter(({ url }) => url === own())).toHaveLength(1);
    clip.dispose();
  });

  test("is unchanged where a load is refused for its options", async () => {
    (await load(own())).dispose();
    const options: LoadOptions[] = [
      { tokenizer: "none" as "hf" },
      { dtype: "f8" as "f32" },
      { towers: "all" as "both" },
      { maxTensorBytes: -1 },
      { cache: "always" as "refresh" },
    ];
    for (const option of options) {
      expect((await failure(load(own(), option))).code).toBe("invalid-option");
    }
    await set("down");
    const clip = await load(own());
    await isRight(clip);
    clip.dispose();
  });

  test("loses partial downloads when the address is deleted", async () => {
    await set("slow", 40_000);
    const stop = new AbortController();
    const onProgress = ({ loadedBytes }: LoadProgress) => loadedBytes > 100_000 && stop.abort();
    expect((await failure(load(own(), { signal: stop.signal, onProgress }))).code).toBe("aborted");
    await set("plain");
    const clip = await load(base + FOLDER);
    expect(await clip.cache.delete(own())).toBe(0);
    const { sent } = await stats();
    (await load(own())).dispose();
    const { length } = await fixture(`${FOLDER}model.safetensors`);
    expect((await stats()).sent - sent).toBeGreaterThan(length);
    clip.dispose();
  });
});

test("a Hub id is resolved at the endpoint and revision", async () => {
  const clip = await load("clip-quickgelu-p8/hf", { endpoint: `${base}models`, revision: "v1", cache: false });
  await isRight(clip);
  clip.dispose();
  expect((await stats()).requests).toContain("models/clip-quickgelu-p8/hf/resolve/v1/model.safetensors");
});

test("files that do not match the Hub's SHA-256 are refused", async () => {
  const options = { endpoint: `${base}models` };
  await set("wrong-list");
  const error = await failure(load("clip-quickgelu-p8/hf", options));
  expect(error.code).toBe("checksum-mismatch");
  await set("plain");
  const clip = await load("clip-quickgelu-p8/hf", options);
  await isRight(clip);
  clip.dispose();
  expect((await stats()).requests).toContain("models/api/models/clip-quickgelu-p8/hf/tree/main");
});

test("shards are found by their index", async () => {
  const clip = await load(base + SHARDS);
  await isRight(clip, "clip-gelu-p32-laion");
  clip.dispose();
});

describe("one tower", () => {
  test.each([true, false])("fetches its bytes alone, cache %s", async (cache) => {
    const bytes = { both: 0, image: 0, text: 0 };
    for (const towers of ["image", "text", "both"] as const) {
      const before = (await stats()).sent;
      const clip = await load(base + FOLDER, {
        towers,
        cache,
        onProgress: ({ phase, totalBytes }) => {
          if (phase === "load") bytes[towers] = totalBytes;
        },
      });
      const sent = (await stats()).sent - before;
      // the header, small files, and the bytes of the tower
      expect(sent).toBeLessThan(bytes[towers] + 160_000);
      const pixelValues = new Float32Array(3 * 32 * 32);
      const inputIds = new Int32Array(77).fill(1);
      const other = towers === "image" ? clip.encodeText({ inputIds }) : clip.encodeImage({ pixelValues });
      const code = await other.then(
        () => "none",
        (error) => error.code,
      );
      expect(code).toBe(towers === "both" ? "none" : "missing-tower");
      if (towers === "text") await isRight(clip);
      clip.dispose();
    }
    expect(bytes.image + bytes.text).toBeLessThanOrEqual(bytes.both + 8);
    // again, without the server
    if (!cache) return;
    await set("down");
    const clip = await load(base + FOLDER, { towers: "text" });
    await isRight(clip);
    clip.dispose();
  });
});

describe("a server that", () => {
  test.each([
    ["sends whole files only", "no-ranges", 0],
    ["is busy at first", "busy", 0],
    ["breaks every connection", "cut", 100_000],
  ])("%s is handled", async (_, mode, bytes) => {
    for (const towers of ["both", "text"] as const) {
      for (const cache of [true, false]) {
        // a download without ranges cannot be resumed
        await set(mode, bytes);
        const clip = await load(base + FOLDER, { towers, cache });
        await isRight(clip);
        clip.dispose();
      }
    }
  });

  test("is slow is aborted at once, and the download is resumed later", async () => {
    await set("slow", 40_000);
    const stop = new AbortController();
    let loaded = 0;
    const error = await failure(
      load(base + FOLDER, {
        signal: stop.signal,
        onProgress: ({ loadedBytes }) => {
          loaded = loadedBytes;
          if (loadedBytes > 100_000) stop.abort();
        },
      }),
    );
    expect(error.code).toBe("aborted");
    await expect.poll(async () => (await stats()).closed, { timeout: 5_000 }).toBe(1);
    const { sent } = await stats();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await stats()).sent).toBe(sent);
    await set("plain");
    const clip = await load(base + FOLDER);
    await isRight(clip);
    clip.dispose();
    const { length } = await fixture(`${FOLDER}model.safetensors`);
    // small files are downloaded twice, the finished part of the weights is not
    const small = 2 * 60_000;
    expect((await stats()).sent - sent).toBeLessThan(length - loaded + small);
  });

  test.each([
    ["has no files", "missing", "invalid-source", /the server has no model\.safetensors/],
    ["answers with a web page", "html", "source-unreadable", /expected a file of a model, got a web page/],
    ["is broken", "error", "source-unreadable", /answers HTTP 500/],
    ["redirects in a circle", "loop", "source-unreadable", /the request failed: /],
    ["is not there", "down", "source-unreadable", /the request failed: /],
    ["cuts files short", "short", "invalid-c", /./],
  ])("%s is reported, and nothing is cached", async (_, mode, code, message) => {
    await set(mode);
    const error = await failure(load(base + FOLDER));
    expect(error.code).toContain(code);
    expect(error.message).toMatch(message);
    await set("plain");
    const clip = await load(base + FOLDER);
    await isRight(clip);
    expect((await clip.cache.list()).filter(({ url }) => url === base + FOLDER)).toHaveLength(1);
    clip.dispose();
  });

  test("declares another SHA-256 is refused, and nothing is cached", async () => {
    await set("wrong-sum");
    const error = await failure(load(base + FOLDER));
    expect(error.code).toBe("checksum-mismatch");
    expect(error.message).toMatch(/expected the SHA-256 0{64}, got [0-9a-f]{64}/);
    await set("plain");
    const clip = await load(base + FOLDER);
    await isRight(clip);
    clip.dispose();
  });
});

test("one file that clipwright wrote is a whole model, whatever files are beside it", async () => {
  const original = await load(base + FOLDER, { cache: false });
  const files = { "model.safetensors": await original.exportSafetensors(), "config.json": new Uint8Array([0x7b]) };
  const text = "a photo";
  const expected = await original.encodeText(text);
  original.dispose();
  for (const [name, body] of Object.entries(files)) {
    await fetch(`${base}put/own/${name}`, { method: "PUT", body: body as Uint8Array<ArrayBuffer> });
  }
  for (const cache of [true, false]) {
    const clip = await load(`${base}own/model.safetensors`, { cache });
    expect(await clip.encodeText(text)).toEqual(expected);
    clip.dispose();
  }
  // a folder uses the config beside it
  expect((await failure(load(`${base}own/`, { cache: false }))).code).toBe("invalid-config");
});

test("picked files with folders in their names load like a folder", async () => {
  const names = ["config.json", "model.safetensors", "merges.txt", "preprocessor_config.json"];
  const files = await Promise.all(names.map(async (name) => new File([await fixture(FOLDER + name)], name)));
  const clip = await load(files);
  await isRight(clip);
  expect(await clip.tokenize("a cat")).toHaveLength(77);
  clip.dispose();
  const pickle = await failure(
    load([new File([await text(`${FOLDER}config.json`)], "config.json"), new File(["x"], "pytorch_model.bin")]),
  );
  expect(pickle.code).toBe("invalid-source");
  expect(pickle.message).toMatch(/pytorch_model\.bin is a pickle/);
});

test("OpenCLIP's transform is that of its config, unless the caller passes another", async () => {
  const folder = "models/clip-quickgelu-p8/open_clip/";
  const weights = await fixture(`${folder}open_clip_model.safetensors`);
  const config = await text(`${folder}open_clip_config.json`);
  const files = [
    new File([weights], "open_clip_model.safetensors"),
    new File([config], "open_clip_config.json"),
    new File([await fixture(`${FOLDER}preprocessor_config.json`)], "preprocessor_config.json"),
  ];
  const published = await load(files, { towers: "image" });
  expect(published.info.preprocess?.crop).toBe("torchvision");
  published.dispose();
  const preprocess = { ...published.info.preprocess, filter: "bilinear" };
  const own = await load({ weights, config, preprocess }, { towers: "image" });
  expect(own.info.preprocess?.filter).toBe("bilinear");
  own.dispose();
});

test("a picked directory loads like a folder", async () => {
  if (!inBrowser) return;
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("picked", { create: true });
  for (const name of ["config.json", "model.safetensors", "tokenizer.json"]) {
    await writePrivateFile(await folder.getFileHandle(name, { create: true }), await fixture(FOLDER + name));
  }
  const clip = await load(folder);
  await isRight(clip);
  clip.dispose();
  await root.removeEntry("picked", { recursive: true });
});

test("malformed addresses, and an index that points elsewhere", async () => {
  expect((await failure(load(""))).code).toBe("invalid-source");
  const weight_map = { a: "../../etc/passwd.safetensors" };
  const files = [
    new File([await fixture(`${FOLDER}config.json`)], "config.json"),
    new File([JSON.stringify({ weight_map })], "model.safetensors.index.json"),
  ];
  const error = await failure(load(files));
  expect(error.code).toBe("invalid-checkpoint");
  expect(error.message).toMatch(/expected a weight_map to .safetensors files, got "..\/..\/etc/);
});
