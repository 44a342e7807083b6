/** Weights of one tower: they encode, and refuse what needs the other tower. */

import { Clip, type ClipError, ClipTrainer, type LoadOptions } from "clipwright";
import { expect, test } from "vitest";
import { fixture, get, json, maxError, parseSafetensors, renameTensors, text, tinyConfig } from "../support";

const FOLDER = "models/clip-gelu-p16-eos";

/** The fixture's weights without the tensors of a prefix. */
async function weightsWithout(...beginnings: string[]): Promise<Uint8Array<ArrayBuffer>> {
  const drop = (name: string) => beginnings.some((beginning) => name.startsWith(beginning));
  return renameTensors(await fixture(`${FOLDER}/hf/model.safetensors`), (name) => (drop(name) ? undefined : name));
}
const imageTower = () => weightsWithout("text_", "logit_scale");
const textTower = () => weightsWithout("vision_", "visual_", "logit_scale");

const configs = {
  whole: () => text(`${FOLDER}/hf/config.json`),
  image: () => text("cases/one-tower/vision-with-projection/config.json"),
  text: async () => ({
    ...(await json("cases/one-tower/text-only/config.json")),
    architectures: ["CLIPTextModelWithProjection"],
  }),
};

const inputs = async () => {
  const { tensors } = parseSafetensors(await fixture(`${FOLDER}/golden.safetensors`));
  return {
    pixelValues: get(tensors, "pixel_values").data as Float32Array,
    inputIds: get(tensors, "input_ids").data as Int32Array,
    image: get(tensors, "image_embeds").data,
    text: get(tensors, "text_embeds").data,
  };
};

const codeOf = async (promise: Promise<unknown>) =>
  promise.then(
    () => "none",
    (error: ClipError) => error.code,
  );

test.each([
  ["image", "whole", "image"],
  ["image", "image", "image"],
  ["image", "image", undefined],
  ["image", "whole", undefined],
  ["text", "whole", "text"],
  ["text", "text", "text"],
  ["text", "text", undefined],
  ["text", "whole", undefined],
] as const)("the %s tower alone, with the config of %s, asked for as %s", async (tower, config, towers) => {
  const weights = await (tower === "image" ? imageTower() : textTower());
  const options: LoadOptions = { device: "cpu", ...(towers && { towers }) };
  const clip = await Clip.load({ weights, config: await configs[config]() }, options);
  const { pixelValues, inputIds, ...expected } = await inputs();
  const embed = {
    image: () => clip.encodeImage({ pixelValues }),
    text: () => clip.encodeText({ inputIds }),
  };
  const embeddings = await embed[tower]();
  expect(maxError(embeddings.data, expected[tower])).toBeLessThan(1e-4);
  expect(await codeOf(embed[tower === "image" ? "text" : "image"]())).toBe("missing-tower");
  const noLogits = clip.logits(embeddings, embeddings);
  await expect(noLogits).rejects.toMatchObject({
    code: "missing-tensor",
    message: expect.stringContaining("logit_scale"),
  });
  if (tower === "image") expect(await codeOf(clip.encodeText("a cat"))).toBe("missing-tower");
  // both towers were asked for: a warning names the missing one
  const other = tower === "image" ? "text" : "image";
  const warnings = towers ? [] : [expect.stringMatching(new RegExp(`^no ${other} tower in the`))];
  expect(clip.info.warnings).toEqual(warnings);
  clip.dispose();
});

test("pixels that no patch covers cause a warning, on loading and on training", async () => {
  const whole = JSON.parse(await configs.whole());
  const config = { ...whole, vision_config: { ...whole.vision_config, image_size: 50 } };
  const weights = await fixture(`${FOLDER}/hf/model.safetensors`);
  const message = "patches of 16 pixels do not divide the image of 50: its last 2 columns and rows are ignored";
  const clip = await Clip.load({ weights, config }, { device: "cpu" });
  expect(clip.info.warnings).toEqual([message]);
  clip.dispose();
  const { vision, ...rest } = tinyConfig;
  const trainer = await ClipTrainer.create({
    config: { ...rest, vision: { ...vision, imageSize: 50, patchSize: 16 } },
    device: "cpu",
  });
  expect(trainer.info.warnings).toEqual([message]);
  trainer.dispose();
});

test("the transform in a folder of transformers is read", async () => {
  const names = ["config.json", "preprocessor_config.json"];
  const files = await Promise.all(
    names.map(async (name) => new File([await fixture(`cases/one-tower/vision-with-projection/${name}`)], name)),
  );
  files.push(new File([await imageTower()], "model.safetensors"));
  const clip = await Clip.load(files, { device: "cpu", towers: "image" });
  const { pixelValues, image } = await inputs();
  expect(maxError((await clip.encodeImage({ pixelValues })).data, image)).toBeLessThan(1e-4);
  expect(clip.info.preprocess).toMatchObject({ crop: "hf", size: 48 });
  clip.dispose();
});

test("a CLIPTextModel is refused for its missing projection", async () => {
  const weights = await weightsWithout("vision_", "visual_", "logit_scale", "text_projection");
  const names = ["config.json", "tokenizer.json", "tokenizer_config.json"];
  const files = await Promise.all(
    names.map(async (name) => new File([await fixture(`cases/one-tower/text-only/${name}`)], name)),
  );
  files.push(new File([weights], "model.safetensors"));
  for (const towers of ["text", "both"] as const) {
    await expect(Clip.load(files, { device: "cpu", towers })).rejects.toMatchObject({
      code: "missing-tensor",
      message: expect.stringMatching(/text_projection\.weight.*CLIPTextModelWithProjection/),
    });
  }
});

test("a missing tower is named", async () => {
  const source = { weights: await imageTower(), config: await configs.image() };
  await expect(Clip.load(source, { device: "cpu", towers: "text" })).rejects.toMatchObject({
    code: "missing-tower",
    message: expect.stringContaining("no text tower"),
  });
  await expect(ClipTrainer.create({ from: source, device: "cpu" })).rejects.toMatchObject({ code: "missing-tower" });
});

test("towers without a temperature embed; their logits are refused, also after export", async () => {
  const source = { weights: await weightsWithout("logit_scale"), config: await configs.whole() };
  const clip = await Clip.load(source, { device: "cpu" });
  expect(clip.info.warnings).toEqual([expect.stringMatching(/^logit_scale is not in the weights/)]);
  const again = await Clip.load(await clip.exportSafetensors(), { device: "cpu" });
  const { pixelValues, inputIds, image, text } = await inputs();
  for (const model of [clip, again]) {
    const [images, texts] = [await model.encodeImage({ pixelValues }), await model.encodeText({ inputIds })];
    expect(maxError(images.data, image)).toBeLessThan(1e-4);
    expect(maxError(texts.data, text)).toBeLessThan(1e-4);
    expect(await codeOf(model.logits(images, texts))).toBe("missing-tensor");
    model.dispose();
  }
});

test.each(["module.", "_orig_mod.", "module._orig_mod.", "clip."])(
  "names that begin with %s are the model's",
  async (prefix) => {
    const weights = renameTensors(await fixture(`${FOLDER}/hf/model.safetensors`), (name) => prefix + name);
    const clip = await Clip.load({ weights, config: await configs.whole() }, { device: "cpu" });
    const { pixelValues, image } = await inputs();
    expect(maxError((await clip.encodeImage({ pixelValues })).data, image)).toBeLessThan(1e-4);
    expect(clip.info.warnings).toEqual([]);
    clip.dispose();
  },
);

test("a text tower ignores the transform of its image tower", async () => {
  const preprocess = await json(`${FOLDER}/hf/preprocessor_config.json`);
  const clip = await Clip.load(
    { weights: await textTower(), config: await configs.text(), preprocess },
    { device: "cpu" },
  );
  const { inputIds, text } = await inputs();
  expect(maxError((await clip.encodeText({ inputIds })).data, text)).toBeLessThan(1e-5);
  clip.dispose();
});
