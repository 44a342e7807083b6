/** Nested folders: the one model in them is found, two are never mixed. Addresses with queries. */

import { Clip, type ClipError, type ClipSource, type LoadOptions } from "clipwright";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { fixture, get, inBrowser, maxError, parseSafetensors, startModelServer, writePrivateFile } from "../support";

const ROOT = "models/clip-quickgelu-p8/";
const FOLDER = `${ROOT}hf/`;
const NAMES = ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"];
const MODULES = [{ idx: 0, name: "0", path: "0_CLIPModel", type: "sentence_transformers.models.CLIPModel" }];

let server: { base: string; stop(): Promise<void> };
let count = 0;
let base: string;

beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.stop());
beforeEach(() => {
  base = `${server.base}folders-${Date.now()}-${count++}/`;
});

const set = (mode: string) => fetch(`${base}set?mode=${mode}`);
const requests = async (): Promise<string[]> => (await (await fetch(`${base}stats`)).json()).requests;
const put = (path: string, body: BlobPart) => fetch(`${base}put/${path}`, { method: "PUT", body: new Blob([body]) });
const load = (source: ClipSource, options: LoadOptions = {}) => Clip.load(source, { device: "cpu", ...options });

async function failure(promise: Promise<Clip>): Promise<ClipError> {
  const result = await promise.catch((error: ClipError) => error);
  if (result instanceof Error) return result;
  result.dispose();
  throw new Error("expected an error, got none");
}

async function isRight(clip: Clip): Promise<void> {
  const { tensors } = parseSafetensors(await fixture(`${ROOT}golden.safetensors`));
  const { data } = await clip.encodeText({ inputIds: get(tensors, "input_ids").data as Int32Array });
  expect(maxError(data, get(tensors, "text_embeds").data)).toBeLessThan(1e-4);
  // the folder's tokenizer and transform
  expect((await clip.tokenize("a cat")).at(-1)).toBe(1023);
  expect(clip.info.preprocess).toMatchObject({ crop: "hf", size: 32 });
  clip.dispose();
}

/** A file as a file input gives it for a picked folder. */
function picked(path: string, content: BlobPart): File {
  const file = new File([content], path.slice(path.lastIndexOf("/") + 1));
  Object.defineProperty(file, "webkitRelativePath", { value: path });
  return file;
}
const model = (folder: string, names = NAMES) =>
  Promise.all(names.map(async (name) => picked(`${folder}${name}`, await fixture(FOLDER + name))));
const other = async (folder: string) => [
  picked(`${folder}config.json`, await fixture("models/clip-gelu-p16-eos/hf/config.json")),
  picked(`${folder}model.safetensors`, await fixture("models/clip-gelu-p16-eos/hf/model.safetensors")),
];
const modules = (list: unknown) => JSON.stringify(list);

describe("a picked folder", () => {
  test.each([
    ["with the model in it", async () => model("clip/")],
    [
      "with one folder that holds the model",
      async () => [...(await model("mine/clip/")), picked("mine/README.txt", "x")],
    ],
    [
      "as the Hub's cache has it",
      async () => [...(await model("m/snapshots/0a1b/")), picked("m/refs/main.txt", "0a1b")],
    ],
    [
      "with the checkpoints of its training below",
      async () => [...(await model("run/")), ...(await other("run/checkpoint-500/"))],
    ],
    ["with an adapter beside it", async () => [...(await model("run/")), picked("run/adapter_model.safetensors", "x")]],
    [
      "of sentence-transformers",
      async () => [...(await model("st/0_CLIPModel/")), picked("st/modules.json", modules(MODULES))],
    ],
    [
      "of sentence-transformers, with other weights below",
      async () => [
        ...(await model("st/0_CLIPModel/")),
        ...(await other("st/onnx/")),
        picked("st/modules.json", modules([...MODULES, { path: "1_Normalize", type: "x.models.Normalize" }])),
      ],
    ],
    [
      "of sentence-transformers, the model at its root",
      async () => [
        ...(await model("st/")),
        picked("st/modules.json", modules([{ path: "", type: "a.b.Transformer" }])),
      ],
    ],
  ])("%s loads", async (_, files) => {
    const list = await files();
    await isRight(await load(list));
    // in any order
    await isRight(await load(list.reverse()));
  });

  test("with a model and others below tells which one it loads", async () => {
    const clip = await load([...(await model("run/")), ...(await other("run/b/")), ...(await other("run/a/x/"))]);
    expect(clip.info.warnings).toEqual(["loaded the model of run, not those in its subfolders: a/x, b"]);
    await isRight(clip);
  });

  test("with two models is refused, naming them", async () => {
    const error = await failure(load([...(await model("both/a/")), ...(await other("both/b/"))]));
    expect(error.code).toBe("invalid-source");
    expect(error.message).toMatch(/^both: expected the files of one model, got 2 folders with weights: a, b/);
    const towers = [...(await model("sd/text_encoder/")), ...(await other("sd/unet/")), ...(await other("sd/vae/"))];
    expect((await failure(load(towers))).message).toContain("text_encoder, unet, vae");
  });

  test("with the config of one model and the weights of another does not mix them", async () => {
    const [config] = await model("x/a/", ["config.json"]);
    const [, weights] = await other("x/b/");
    const error = await failure(load([config, weights] as File[]));
    expect(error.code).toBe("invalid-checkpoint");
    expect(error.message).toMatch(/no config beside the weights/);
  });

  test("files of the same name without folders are refused", async () => {
    const flat = (files: File[]) => files.map((file) => new File([file], file.name));
    const error = await failure(load(flat([...(await model("")), ...(await other(""))])));
    expect(error.code).toBe("invalid-source");
    expect(error.message).toMatch(/two files are named config\.json/);
  });

  test("without readable weights lists its files", async () => {
    const files = [...(await model("x/clip/", ["config.json"])), picked("x/clip/pytorch_model.bin", "x")];
    const error = await failure(load([...files, picked("x/notes.txt", "x")]));
    expect(error.message).toMatch(/expected model\.safetensors.*pytorch_model\.bin is a pickle/);
  });

  test.each([
    [
      [...MODULES, { path: "1_Dense", type: "sentence_transformers.models.Dense" }],
      /CLIPModel alone, got CLIPModel, Dense/,
    ],
    [[{ path: "0_WordEmbeddings", type: "a.WordEmbeddings" }], /got WordEmbeddings/],
    [[], /got none/],
    [[{ path: "../../etc", type: "a.CLIPModel" }], /the path of a subfolder, got "\.\.\/\.\.\/etc"/],
    [[{ path: 7, type: "a.CLIPModel" }], /the path of a subfolder, got 7/],
    [[null], /modules\.json/],
  ])("whose modules.json says %j is refused", async (list, message) => {
    const error = await failure(load([...(await model("st/0_CLIPModel/")), picked("st/modules.json", modules(list))]));
    expect(error.code).toBe("invalid-config");
    expect(error.message).toMatch(message);
  });

  test("an adapter in a subfolder is found, two are not mixed", async () => {
    const adapter = (folder: string) =>
      Promise.all(
        ["adapter_model.safetensors", "adapter_config.json"].map(async (name) =>
          picked(`${folder}${name}`, await fixture(`${ROOT}peft/${name}`)),
        ),
      );
    const source = await model("clip/");
    const expected = parseSafetensors(await fixture(`${ROOT}peft/golden.safetensors`)).tensors;
    const { tensors } = parseSafetensors(await fixture(`${ROOT}golden.safetensors`));
    const one = [...(await adapter("run/lora/")), picked("run/README.json", "{}")];
    const clip = await load(source, { adapter: one });
    const { data } = await clip.encodeText({ inputIds: get(tensors, "input_ids").data as Int32Array });
    expect(maxError(data, get(expected, "text_embeds").data)).toBeLessThan(1e-4);
    clip.dispose();
    const two = [...(await adapter("run/checkpoint-1/")), ...(await adapter("run/checkpoint-2/"))];
    expect((await failure(load(source, { adapter: two }))).message).toContain("checkpoint-1, checkpoint-2");
  });
});

test("a directory handle: one model below is loaded, two are refused", async () => {
  if (!inBrowser) return;
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle("models", { create: true });
  const write = async (path: string, files: File[]) => {
    const place = await folder.getDirectoryHandle(path, { create: true });
    for (const file of files) {
      await writePrivateFile(await place.getFileHandle(file.name, { create: true }), file);
    }
  };
  await write("a", await model(""));
  await isRight(await load(folder));
  await write("b", await other(""));
  expect((await failure(load(folder))).message).toMatch(/^models: .*: a, b/);
  await root.removeEntry("models", { recursive: true });
});

describe("on a server", () => {
  const putModel = async (folder: string) => {
    for (const name of NAMES) await put(`${folder}${name}`, await fixture(FOLDER + name));
  };

  test("sentence-transformers' folder is found by its modules, and loads again without the server", async () => {
    await putModel("st/0_CLIPModel/");
    await put("st/modules.json", modules(MODULES));
    for (const cache of [false, true]) await isRight(await load(`${base}st/`, { cache }));
    await set("down");
    await isRight(await load(`${base}st/`));
  });

  test("sentence-transformers' repository is found by its id", async () => {
    const at = "models/sentence-transformers/clip/resolve/main/";
    await putModel(`${at}0_CLIPModel/`);
    await put(`${at}modules.json`, modules(MODULES));
    for (const cache of [false, true]) {
      await isRight(await load("sentence-transformers/clip", { endpoint: `${base}models`, cache }));
    }
    expect(await requests()).toContain(`${at}0_CLIPModel/model.safetensors`);
    expect(await requests()).toContain("models/api/models/sentence-transformers/clip/tree/main/0_CLIPModel");
  });

  test("modules around a CLIP would change its embeddings: refused", async () => {
    await putModel("st/");
    await put(
      "st/modules.json",
      modules([
        { path: "", type: "a.CLIPModel" },
        { path: "1_Dense", type: "a.Dense" },
      ]),
    );
    const error = await failure(load(`${base}st/`, { cache: false }));
    expect(error.message).toMatch(/modules\.json: expected a CLIPModel alone, got CLIPModel, Dense/);
  });

  test.each(["", "/", "/tree/main", "?library=transformers"])(
    "the address of a repository's page is its id: %s",
    async (rest) => {
      const endpoint = `${base}models`;
      await isRight(await load(`${endpoint}/clip-quickgelu-p8/hf${rest}`, { endpoint, cache: false }));
      expect(await requests()).toContain("models/clip-quickgelu-p8/hf/resolve/main/model.safetensors");
    },
  );

  test("shards that do not match their index are refused by name", async () => {
    const [shards, index] = ["models/clip-gelu-p32-laion/hf-sharded/", "model.safetensors.index.json"];
    const names = ["config.json", index, "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const file = async (name: string, content?: BlobPart) =>
      new File([content ?? (await fixture(shards + name))], name);
    const all = await Promise.all(names.map((name) => file(name)));
    (await load(all)).dispose();
    const without = await failure(load(all.filter(({ name }) => name !== names[3])));
    expect(without.code).toBe("invalid-source");
    expect(without.message).toMatch(/expected shard model-00002-of-00002\.safetensors, got/);
    const twice = [...all.slice(0, 3), await file(names[3] as string, all[2])];
    expect((await failure(load(twice))).message).toMatch(/two files hold the tensor/);
    const pointer = [...all.slice(0, 3), await file(names[3] as string, "version https://git-lfs.github.com/spec/v1")];
    expect((await failure(load(pointer))).message).toMatch(/00002-of-00002\.safetensors: .*a Git LFS pointer/);
  });

  test("a login page in place of a file is not taken for a missing file", async () => {
    await set("login");
    for (const cache of [false, true]) {
      const error = await failure(load(base + FOLDER, { cache }));
      expect(error.code).toBe("source-unreadable");
      expect(error.message).toMatch(/tokenizer\.json: expected a file of a model, got a web page/);
    }
  });

  test.each(["forbids", "html-for-nothing"])("a missing file of a server that %s counts as missing", async (mode) => {
    await set(mode);
    // no merges.txt, and no files that newer libraries write
    await isRight(await load(base + FOLDER, { cache: false }));
  });

  test("a malformed address is reported with what it was taken for", async () => {
    const error = await failure(load("runs/none", { endpoint: `${base}models`, cache: false }));
    expect(error.code).toBe("invalid-source");
    expect(error.message).toMatch(/runs\/none.* was taken for a Hub id, owner\/model: did you mean \.\/runs\/none\?/);
    if (!inBrowser) expect(error.message).toContain("there is no folder runs/none here");
    for (const name of ["", "x".repeat(9_999), '{\n"vision_config": {}}']) {
      const { code, message } = await failure(load(name));
      expect(code).toBe("invalid-source");
      expect(message).toMatch(/expected a Hub id, an address or a path, got "/);
      expect(message.length).toBeLessThan(400);
    }
    for (const name of ["clip-vit-base", "a/b/c"]) {
      const { message } = await failure(load(name, { cache: false }));
      expect(message).toMatch(/a Hub id has the form owner\/model/);
    }
  });
});

describe("an address's query", () => {
  beforeEach(() => set("signed"));

  test.each([
    ["a folder", FOLDER, ""],
    ["a folder without its slash", FOLDER.slice(0, -1), "#top"],
    ["a file", `${FOLDER}model.safetensors`, "#top"],
  ])("goes with every request for %s", async (_, path, fragment) => {
    for (const cache of [false, true]) {
      const clip = await load(`${base}${path}?token=abc${fragment}`, { cache });
      await isRight(clip);
    }
    const without = await failure(load(base + path, { cache: false }));
    expect(without.message).toMatch(/HTTP 403/);
  });

  test("goes with an adapter's as well", async () => {
    const adapter = `${base}${ROOT}peft?token=abc`;
    const clip = await load(`${base}${FOLDER}?token=abc`, { adapter, cache: false });
    clip.dispose();
    expect((await requests()).some((path) => path.endsWith("adapter_model.safetensors"))).toBe(true);
    expect(
      (await failure(load(`${base}${FOLDER}?token=abc`, { adapter: `${base}${ROOT}peft`, cache: false }))).message,
    ).toMatch(/adapter_model\.safetensors: .*HTTP 403/);
  });

  test("is in neither the cache nor messages where it only authorizes", async () => {
    const clip = await load(`${base}${FOLDER}?token=secret-1&v=2`);
    const listed = (await clip.cache.list()).filter(({ url }) => url.startsWith(base));
    expect(listed.map(({ url }) => url)).toEqual([`${base}${FOLDER}?v=2`]);
    await isRight(clip);
    const before = (await requests()).length;
    // another token is the same model: nothing is downloaded; another version is not
    const again = await load(`${base}${FOLDER}?token=secret-2&v=2`);
    expect((await requests()).length).toBe(before);
    expect(await again.cache.delete(`${base}${FOLDER}?v=3`)).toBe(0);
    expect(await again.cache.delete(`${base}${FOLDER}?token=secret-3&v=2`)).toBe(1);
    again.dispose();
    await set("error");
    const error = await failure(load(`${base}${FOLDER}?token=secret-1&v=2`));
    expect(error.message).toMatch(/HTTP 500/);
    expect(error.message).not.toContain("secret");
  });
});
