/** Model and settings of the examples and the benchmarks. */

/** About 1.8 million weights and the vocabulary. @type {import("clipwright").ClipConfig} */
export const config = {
  embedDim: 128,
  vision: { imageSize: 32, patchSize: 8, width: 128, layers: 4, heads: 4 },
  // without vocabSize the vocabulary is cut to the tokens of the training captions
  text: { contextLength: 16, width: 128, layers: 4, heads: 4 },
};

/** CLIP's AdamW. `truncate`: a few captions name three people and exceed the context. */
export const fit = { batchSize: 256, lr: 1e-3, warmup: 50, weightDecay: 0.2, truncate: true };

/** The same with Muon for the blocks' matrices: the best setting found on validation pairs (docs/decisions/0011). */
export const recipe = { ...fit, muon: { lr: 0.02 } };
