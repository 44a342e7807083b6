/** Similarities that a model gives to images and texts. */

/** Similarities of images and texts, one row an image. */
export interface Logits {
  /** `exp(logitScale) × cosine + logitBias`, `[images, texts]`, row by row. */
  logitsPerImage: Float32Array;
  /** CLIP: softmax of each image's logits over the texts. SigLIP: sigmoid of each logit. */
  probabilities: Float32Array;
  /** Images, texts. */
  shape: [number, number];
}
