/** Golden outputs of PyTorch through the whole chain: API, worker, Wasm, device. */

import { Clip, ClipTrainer } from "clipwright";
import { describe, expect, test } from "vitest";
import { devices, fixture, get, json, maxError, parseSafetensors, slack, text } from "../support";

const folders = ["clip-quickgelu-p8", "clip-gelu-p16-eos"];

describe.each(devices)("on %s", (device) => {
  test.each(folders)("%s gives PyTorch's embeddings, logits and loss", async (folder) => {
    const source = {
      weights: await fixture(`models/${folder}/hf/model.safetensors`),
      config: await text(`models/${folder}/hf/config.json`),
      merges: await text("tokenizer/mini/merges.txt"),
    };
    const { tensors } = parseSafetensors(await fixture(`models/${folder}/golden.safetensors`));
    const notes = (await json(`models/${folder}/golden.json`)).tensors;
    const pixelValues = get(tensors, "pixel_values").data as Float32Array;
    const inputIds = get(tensors, "input_ids").data as Int32Array;
    const check = (name: string, got: ArrayLike<number>) =>
      expect(maxError(got, get(tensors, name).data), name).toBeLessThanOrEqual(notes[name].atol * slack(device));

    const clip = await Clip.load(source, { device });
    expect(clip.info.device.kind).toBe(device);
    const images = await clip.encodeImage({ pixelValues });
    const texts = await clip.encodeText({ inputIds });
    check("image_embeds", images.data);
    check("text_embeds", texts.data);
    const { logitsPerImage, shape } = await clip.logits(images, texts);
    check("logits_per_image", logitsPerImage);
    const [rows, columns] = shape;
    const transposed = logitsPerImage.map(
      (_, i) => logitsPerImage[(i % rows) * columns + Math.floor(i / rows)] as number,
    );
    check("logits_per_text", transposed);
    clip.dispose();

    const trainer = await ClipTrainer.create({ from: source, device });
    const { loss } = await trainer.gradients({ pixelValues, inputIds });
    check("loss", [loss]);
    trainer.dispose();
  });
});
