/** Evaluation with images and captions that occur in several rows, as in users' data sets. */

import { ClipTrainer, type Embeddings, type ImageTextPair } from "clipwright";
import { expect, test } from "vitest";
import { colourPairs, tinyConfig } from "../support";

const pairs = colourPairs(8) as ImageTextPair[];
const at = (index: number) => pairs[index] as ImageTextPair;

async function trained() {
  const trainer = await ClipTrainer.create({ config: tinyConfig, device: "cpu" });
  for await (const _ of trainer.fit(pairs, { epochs: 4, batchSize: 8 }));
  return trainer;
}

/** Recall as in CLIP_benchmark: whether any positive of a query is among the k highest. */
function recall(queries: Embeddings, items: Embeddings, positives: number[][], k: number): number {
  const dim = items.shape[1];
  const score = (row: number, item: number) =>
    [...Array(dim).keys()].reduce(
      (sum, i) => sum + (queries.data[row * dim + i] ?? 0) * (items.data[item * dim + i] ?? 0),
      0,
    );
  const hits = positives.filter((own, row) =>
    [...Array(items.shape[0]).keys()]
      .sort((a, b) => score(row, b) - score(row, a))
      .slice(0, k)
      .some((item) => own.includes(item)),
  );
  return hits.length / positives.length;
}

test("each image and each caption is one query, and any of its positives counts", async () => {
  const trainer = await trained();
  // images 0 to 3 with captions 0 to 3; image 0 has two captions, caption 1 two images; all are spelled in various ways
  const copy = { ...(at(0).image as { data: Uint8Array; width: number; height: number }) };
  const rows: ImageTextPair[] = [
    at(0),
    at(1),
    { image: { ...copy, data: copy.data.slice() }, text: at(2).text },
    { image: at(2).image, text: ` ${at(1).text.toUpperCase()} ` },
    { image: at(3).image, text: at(3).text, moreTexts: [at(3).text] },
  ];
  const distractors = [
    { image: at(4).image, text: at(4).text },
    // a further image of a queried caption, and a further caption of an image
    { image: at(5).image, text: at(0).text },
    { image: at(1).image, text: at(5).text },
  ];
  const captionsOf = [[0, 2], [1, 5], [1], [3]];
  const picturesOf = [[0, 5], [1, 2], [0], [3]];
  const images = await trainer.encodeImage([0, 1, 2, 3, 4, 5].map((i) => at(i).image));
  const texts = await trainer.encodeText([0, 1, 2, 3, 4, 5].map((i) => at(i).text));
  const got = await trainer.evaluate(rows, { distractors });
  for (const [k, key] of [
    [1, "r1"],
    [5, "r5"],
  ] as const) {
    expect(got.imageToText[key]).toBe(recall(images, texts, captionsOf, k));
    expect(got.textToImage[key]).toBe(recall(texts, images, picturesOf, k));
  }
  expect([got.imageToText.queries, got.textToImage.queries]).toEqual([4, 4]);
  expect(got.grouped).toEqual({ images: 2, captions: 4 });
  trainer.dispose();
});
