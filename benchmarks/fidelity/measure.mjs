/** Compares a model's results with PyTorch's and Pillow's, in Node or in a page. */

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

/** Compares normalised embeddings with golden ones: differences, and the smallest cosine of a row. */
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

/** Number of captions whose ids differ up to the end token; padding after it may differ. */
function wrongCaptions(ids, expected, captions) {
  const end = 49_407;
  const context = expected.length / captions.length;
  const kept = (all, row) =>
    Array.from(all.subarray(row * context, (row + 1) * context))
      .join(" ")
      .split(` ${end}`)[0];
  return captions.filter((_, row) => kept(ids, row) !== kept(expected, row)).length;
}

/**
 * Compares those of `image` and `text` (`{ data, shape }`), `pixels` and `ids` that exist with the tensors in `golden`. `notes` has the
 * captions, `std` the transform's standard deviations.
 */
export function compare({ image, text, pixels, ids }, golden, { captions }, std) {
  const expected = (name, { length }) => golden.get(name).data.subarray(0, length);
  const result = {};
  if (image) result.image = rows(image, expected("image_embeds", image.data));
  if (text) result.text = rows(text, expected("text_embeds", text.data));
  if (pixels) {
    const { max, mean } = differences(pixels, expected("pixel_values", pixels));
    // in 8-bit levels of the channel with the smallest standard deviation
    const levels = 255 * Math.min(...std);
    result.pixels = { max: max * levels, mean: mean * levels };
  }
  if (ids && captions) result.tokens = wrongCaptions(ids, golden.get("input_ids").data, captions);
  return result;
}

/** The first `rows` of a golden input; all if undefined. */
function part({ data, shape }, rows) {
  return rows === undefined ? data : data.slice(0, (rows * data.length) / shape[0]);
}

/**
 * Loads a model and compares it. `read(name)` returns a file of the model's folder, `picture(name)` a picture. Only these
 * `towers` and the first `rows` inputs are compared.
 */
export async function measure(Clip, { source, device, read, picture, towers = "both", rows, ...options }) {
  const { tensors } = parseSafetensors(await read("golden.safetensors"));
  const notes = JSON.parse(new TextDecoder().decode(await read("golden.json")));
  const started = performance.now();
  const clip = await Clip.load(source, { ...options, device, towers, cache: false });
  const seconds = (performance.now() - started) / 1000;
  const { wasmBytes } = await clip.memory();
  const answers = {};
  if (towers !== "text") {
    answers.image = await clip.encodeImage({ pixelValues: part(tensors.get("pixel_values"), rows) });
    answers.pixels = await clip.preprocess(await Promise.all(notes.pictures.map(picture)));
  }
  if (towers !== "image") {
    answers.text = await clip.encodeText({ inputIds: part(tensors.get("input_ids"), rows) });
    if (notes.captions) answers.ids = await clip.tokenize(notes.captions);
  }
  const { std } = clip.info.preprocess;
  clip.dispose();
  return { load: { seconds, wasmBytes }, ...compare(answers, tensors, notes, std) };
}
