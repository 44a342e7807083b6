/** Shapes of models that several benchmarks share. */

/** ViT-B/32's proportions: 50 patches, short captions, widths 3 to 2. */
export const smallB32 = {
  embedDim: 128,
  vision: { imageSize: 224, patchSize: 32, width: 192, layers: 4, heads: 3 },
  text: { contextLength: 16, width: 128, layers: 4, heads: 2 },
};
