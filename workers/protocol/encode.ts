/** Images in, embeddings out. */

import type { ClipErrorCode } from "./error.js";

/** An image as it crosses the border. */
export type WireImage =
  /** One that was not to be had. */
  | { failed: { code: ClipErrorCode; message: string } }
  | { encoded: Uint8Array | Blob }
  | { url: string }
  | { path: string }
  | { bitmap: ImageBitmap }
  | { data: Uint8Array; width: number; height: number };

/** An image with what messages call it. */
export interface NamedImage {
  name: string;
  image: WireImage;
}

/** Embeddings of the images that could be read, in their order, and why the others could not. */
export interface EncodedImages {
  embeddings: Matrix;
  bad: { index: number; code: ClipErrorCode; message: string }[];
}

/** Rows of a matrix. */
export interface Matrix {
  data: Float32Array;
  /** Rows, columns. */
  shape: [number, number];
}

/** Embeddings of texts. */
export interface TextMatrix extends Matrix {
  /** What is odd about the texts, in words. */
  warnings: string[];
}

/** Similarities of images and texts, a row an image. */
export interface Logits {
  /** Cosine times the inverse temperature, plus SigLIP's bias. */
  logits: Float32Array;
  /** Softmax over the texts, or SigLIP's sigmoid of each. */
  probabilities: Float32Array;
  /** Images, texts. */
  shape: [number, number];
}
