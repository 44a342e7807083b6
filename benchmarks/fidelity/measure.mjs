/** How far a model's answers are from PyTorch's and Pillow's; runs in Node and in a page alike. */

import { parseSafetensors } from "../../test/safetensors.mjs";

/** Largest and mean difference. */
function differences(got, expected) {
  let max = 0;
  let sum = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(got[i] - expected[i]);
    if (!(error <= max)) max = error;
    sum += error;
  }
  return { max, mean: sum / expected.length };
}

/** Embeddings of length one against golden ones: differences, and the smallest cosine of a row. */
function rows({ data, shape }, expected) {
  const [count, dim] = shape;
  let cosine = 1;
  for (let row = 0; row < count; row++) {
    let dot = 0;
    for (let i = row * dim; i < (row + 1) * dim; i++) dot += data[i] * expected[i];
    cosine = Math.min(cosine, dot);
  }
  return { ...differences(data, expected), cosine };
}

/**
 * Loads a model and compares. `read(name)` gives the bytes of a file of the model's folder, `picture(name)` those of a
 * picture; `towers` may leave out one that would take too long.
 */
export async function measure(Clip, { source, device, read, picture, towers = "both", ...options }) {
  const { tensors } = parseSafetensors(await read("golden.safetensors"));
  const notes = JSON.parse(new TextDecoder().decode(await read("golden.json")));
  const golden = (name) => tensors.get(name).data;
  const started = performance.now();
  const clip = await Clip.load(source, { ...options, device, towers, cache: false });
  const seconds = (performance.now() - started) / 1000;
  const { wasmBytes } = await clip.memory();
  const result = { load: { seconds, wasmBytes } };
  if (towers !== "text") {
    const pixelValues = golden("pixel_values");
    result.image = rows(await clip.encodeImage({ pixelValues }), golden("image_embeds"));
    const pixels = await clip.preprocess(await Promise.all(notes.pictures.map(picture)));
    // levels of 8 bit, of the channel with the smallest deviation
    const { max } = differences(pixels, pixelValues);
    const std = Math.min(...clip.info.preprocess.std);
    result.pixels = { levels: Math.round(max * 255 * std), max };
  }
  if (towers !== "image") {
    const inputIds = golden("input_ids");
    result.text = rows(await clip.encodeText({ inputIds }), golden("text_embeds"));
    if (notes.captions) {
      const ids = await clip.tokenize(notes.captions);
      // what follows the end is padding, which is a choice
      const end = 49_407;
      const context = inputIds.length / notes.captions.length;
      const kept = (all, row) =>
        Array.from(all.subarray(row * context, (row + 1) * context))
          .join(" ")
          .split(` ${end}`)[0];
      result.tokens = notes.captions.filter((_, row) => kept(ids, row) !== kept(inputIds, row)).length;
    }
  }
  clip.dispose();
  return result;
}
