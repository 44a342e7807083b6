/** Golden outputs of PyTorch through the whole chain: API, worker, Wasm, device; every family, layout and precision. */

import { Clip, type ClipConfig, type ClipSource, ClipTrainer } from "clipwright";
import { describe, expect, test } from "vitest";
import { devices } from "../devices";
import { fixture, get, json, maxError, parseSafetensors, slack, text } from "../support";

interface Case {
  name: string;
  /** Folder of the inputs. */
  folder: string;
  /** Folder of the golden outputs. */
  golden: string;
  weights: string[];
  config: () => Promise<string | object>;
}

/** OpenCLIP's config of the SigLIP fixture. timm does not know its trunk, so that its shape is added beside the name. */
async function siglipOpenClip(): Promise<object> {
  const {
    model_cfg,
    preprocess_cfg,
    fixture_trunk: trunk,
  } = await json("models/siglip-p16/open_clip/open_clip_config.json");
  const { patch_size, width, layers, mlp_ratio, heads } = trunk;
  const vision_cfg = { ...model_cfg.vision_cfg, patch_size, width, layers, mlp_ratio, head_width: width / heads };
  return { model_cfg: { ...model_cfg, vision_cfg }, preprocess_cfg };
}

/** Config of an MCi fixture, whose tower only the script of the fixture registers with timm. */
async function mci(widths: number[], large: boolean): Promise<ClipConfig> {
  return {
    embedDim: 24,
    vision: {
      architecture: "mci",
      imageSize: 64,
      layers: large ? [1, 1, 1, 1, 1] : [1, 2, 1, 1],
      widths,
      mlpRatio: large ? 4 : 3,
      attentionStages: large ? 2 : 1,
      squeezeStages: large ? 0 : 2,
      layerNorm: large,
      stemScale: !large,
    },
    text: { contextLength: 32, vocabSize: 1024, width: 32, heads: 4, layers: 1, activation: "gelu", causal: false },
  };
}

const plain = (folder: string, layout: string, weights: string | string[], golden = folder): Case => ({
  name: `${folder}/${layout}`,
  folder,
  golden,
  weights: [weights].flat().map((name) => `models/${folder}/${layout}/${name}`),
  config: () => text(`models/${folder}/${layout}/${layout === "open_clip" ? "open_clip_config" : "config"}.json`),
});

const laion = "clip-gelu-p32-laion";
const cases: Case[] = [
  plain("clip-quickgelu-p8", "hf", "model.safetensors"),
  plain("clip-quickgelu-p8", "open_clip", "open_clip_model.safetensors"),
  {
    ...plain("clip-quickgelu-p8", "openai", "model.fp16.safetensors", "clip-quickgelu-p8/openai"),
    config: () => text("models/clip-quickgelu-p8/open_clip/open_clip_config.json"),
  },
  plain("clip-gelu-p16-eos", "hf", "model.safetensors"),
  plain("clip-gelu-p16-eos", "open_clip", "open_clip_model.safetensors"),
  plain(laion, "hf-sharded", ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]),
  plain(laion, "hf-fp16", "model.safetensors", `${laion}/hf-fp16`),
  plain(laion, "hf-bf16", "model.safetensors", `${laion}/hf-bf16`),
  plain(laion, "open_clip", "open_clip_model.safetensors"),
  plain("siglip-p16", "hf", "model.safetensors"),
  {
    ...plain("siglip-p16", "open_clip", "open_clip_model.safetensors", "siglip-p16/open_clip"),
    config: siglipOpenClip,
  },
  plain("clip-resnet", "open_clip", "open_clip_model.safetensors"),
  {
    ...plain("clip-mci-small", "open_clip", "open_clip_model.safetensors"),
    config: () => mci([16, 32, 64, 128], false),
  },
  {
    ...plain("clip-mci-large", "open_clip", "open_clip_model.safetensors"),
    config: () => mci([8, 16, 32, 64, 128], true),
  },
];

describe.each(devices)("on %s", (device) => {
  test.each(cases)("$name gives PyTorch's embeddings, logits and loss", async ({ folder, golden, weights, config }) => {
    const source: ClipSource = { weights: await Promise.all(weights.map(fixture)), config: await config() };
    const inputs = parseSafetensors(await fixture(`models/${folder}/golden.safetensors`)).tensors;
    const { tensors } = parseSafetensors(await fixture(`models/${golden}/golden.safetensors`));
    const notes = (await json(`models/${golden}/golden.json`)).tensors;
    const pixelValues = get(inputs, "pixel_values").data as Float32Array;
    const inputIds = get(inputs, "input_ids").data as Int32Array;
    let checked = 0;
    const check = (name: string, got: ArrayLike<number>) => {
      const expected = tensors.get(name);
      if (!expected) return;
      expect(maxError(got, expected.data), name).toBeLessThanOrEqual(notes[name].atol * slack(device));
      checked++;
    };

    const clip = await Clip.load(source, { device });
    expect(clip.info.device.kind).toBe(device);
    expect(clip.info.warnings).toEqual([]);
    const images = await clip.encodeImage({ pixelValues });
    const texts = await clip.encodeText({ inputIds });
    check("image_embeds", images.data);
    check("text_embeds", texts.data);
    const { logitsPerImage, probabilities, shape } = await clip.logits(images, texts);
    check("logits_per_image", logitsPerImage);
    const [rows, columns] = shape;
    const transposed = logitsPerImage.map(
      (_, i) => logitsPerImage[(i % rows) * columns + Math.floor(i / rows)] as number,
    );
    check("logits_per_text", transposed);
    const first = [...logitsPerImage.subarray(0, columns)];
    const sigmoid = clip.info.config.objective === "sigmoid";
    const sum = first.reduce((total, x) => total + Math.exp(x), 0);
    const says = first.map((x) => (sigmoid ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / sum));
    expect(maxError(probabilities.subarray(0, columns), says)).toBeLessThan(1e-5);
    clip.dispose();

    // towers with batch norms are not trained; a backward pass on software WebGPU is slow: once a model
    const backward = device === "cpu" || config === cases.find((one) => one.folder === folder)?.config;
    if (!/resnet|mci/.test(folder) && tensors.has("loss") && backward) {
      const trainer = await ClipTrainer.create({ from: source, device });
      const { loss } = await trainer.gradients({ pixelValues, inputIds });
      check("loss", [loss]);
      trainer.dispose();
    }
    expect(checked).toBeGreaterThanOrEqual(3);
  });

  test.each(cases.filter(({ name }) => /quickgelu-p8.hf|siglip-p16.hf|hf-fp16/.test(name)))(
    "$name as 8-bit integers keeps the embeddings' direction",
    async ({ folder, weights, config }) => {
      const source: ClipSource = { weights: await Promise.all(weights.map(fixture)), config: await config() };
      const inputs = parseSafetensors(await fixture(`models/${folder}/golden.safetensors`)).tensors;
      const clip = await Clip.load(source, { device, dtype: "q8" });
      expect(clip.info.dtype).toBe("q8");
      const embeddings = {
        image_embeds: await clip.encodeImage({ pixelValues: get(inputs, "pixel_values").data as Float32Array }),
        text_embeds: await clip.encodeText({ inputIds: get(inputs, "input_ids").data as Int32Array }),
      };
      for (const [name, { data, shape }] of Object.entries(embeddings)) {
        const golden = get(inputs, name).data;
        for (let row = 0; row < data.length; row += shape[1]) {
          const cosine = data.subarray(row, row + shape[1]).reduce((sum, x, i) => sum + x * (golden[row + i] ?? 0), 0);
          expect(cosine, name).toBeGreaterThan(0.9995);
          expect(cosine, name).toBeLessThan(0.9999999);
        }
      }
      clip.dispose();
    },
  );
});
