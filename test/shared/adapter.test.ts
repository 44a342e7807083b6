/** Adapters that PEFT trained, from every kind of source. */

import { Clip, type ClipSource, ClipTrainer, type LoadOptions } from "clipwright";
import { afterAll, beforeAll, expect, test } from "vitest";
import { colourPairs, fixture, get, inBrowser, maxError, parseSafetensors, startModelServer } from "../support";

const MODEL = "models/clip-quickgelu-p8";
const [WEIGHTS, CONFIG] = ["adapter_model.safetensors", "adapter_config.json"];

let server: { base: string; stop(): Promise<void> };
beforeAll(async () => {
  server = await startModelServer();
});
afterAll(() => server.stop());

const place = (path: string) => `${server.base}${Date.now()}/${path}`;
const load = (adapter: ClipSource, options: LoadOptions = {}) =>
  Clip.load(place(`${MODEL}/hf/`), { device: "cpu", ...options, adapter });
const text = async (path: string) => new TextDecoder().decode(await fixture(path));

/** Expects PEFT's outputs of a model with the adapter. */
async function isRight(clip: Clip, folder = MODEL): Promise<void> {
  const { tensors: inputs } = parseSafetensors(await fixture(`${folder}/golden.safetensors`));
  const { tensors: golden } = parseSafetensors(await fixture(`${folder}/peft/golden.safetensors`));
  const texts = await clip.encodeText({ inputIds: get(inputs, "input_ids").data as Int32Array });
  expect(maxError(texts.data, get(golden, "text_embeds").data)).toBeLessThan(1e-5);
  const images = await clip.encodeImage({ pixelValues: get(inputs, "pixel_values").data as Float32Array });
  expect(maxError(images.data, get(golden, "image_embeds").data)).toBeLessThan(1e-5);
}

test("a folder on a server, its file of weights, picked files and the two files are one adapter", async () => {
  const weights = (await fixture(`${MODEL}/peft/${WEIGHTS}`)) as Uint8Array<ArrayBuffer>;
  const config = await text(`${MODEL}/peft/${CONFIG}`);
  const sources: ClipSource[] = [
    place(`${MODEL}/peft/`),
    new URL(place(`${MODEL}/peft/${WEIGHTS}`)),
    [new File([weights], WEIGHTS), new File([config], CONFIG)],
    { weights, config },
    { weights: new Blob([weights]), config: JSON.parse(config) },
  ];
  for (const source of sources) {
    using clip = await load(source);
    await isRight(clip);
  }
});

test("adapters of SigLIP load, from disk in Node, and a trainer begins with them", async () => {
  const folder = "models/siglip-p16";
  const path = (name: string) =>
    inBrowser ? place(`${folder}/${name}/`) : new URL(`../fixtures/${folder}/${name}/`, import.meta.url);
  using clip = await Clip.load(path("hf"), { device: "cpu", adapter: path("peft") });
  await isRight(clip, folder);

  using trainer = await ClipTrainer.create({
    from: place(`${MODEL}/hf/`),
    adapter: place(`${MODEL}/peft/`),
    device: "cpu",
  });
  using plain = await load(place(`${MODEL}/peft/`));
  const [query] = colourPairs(1);
  const caption = query?.text ?? "";
  expect((await trainer.encodeText(caption)).data).toEqual((await plain.encodeText(caption)).data);
});

test("adapters of other models are refused", async () => {
  const weights = await fixture(`${MODEL}/peft/${WEIGHTS}`);
  const config = JSON.parse(await text(`${MODEL}/peft/${CONFIG}`));
  const cases: [ClipSource, string, RegExp][] = [
    [place("models/siglip-p16/peft/"), "shape-mismatch", /lora_/],
    [place(`${MODEL}/hf/`), "invalid-source", /adapter_config\.json/],
    [[], "invalid-source", /./],
    [[new File(["{}"], CONFIG)], "invalid-source", /adapter_model\.safetensors/],
    [weights, "invalid-source", /adapter_config\.json/],
    [{ weights, config: { ...config, use_dora: true } }, "invalid-config", /use_dora/],
    [{ weights, config: { ...config, peft_type: "LOHA" } }, "invalid-config", /peft_type/],
    [{ weights, config: "{" }, "invalid-config", /JSON/],
    [{ weights: weights.subarray(0, 99), config }, "invalid-checkpoint", /./],
    [3 as unknown as ClipSource, "invalid-source", /./],
  ];
  for (const [adapter, code, message] of cases) {
    await expect(load(adapter), code).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  }
});
