/** Encoding: images and texts in, embeddings and logits out. */

import type { ClipErrorCode } from "./error.js";

/** An image as it is sent to the worker. */
export type WireImage =
  /** An image that could not be read; the worker throws its error when it is its turn. */
  | { failed: { code: ClipErrorCode; message: string } }
  /** A file's bytes, to be decoded. */
  | { encoded: Uint8Array | Blob }
  | { url: string }
  /** A file on disk, in Node. */
  | { path: string }
  | { bitmap: ImageBitmap }
  /** Pixels, `[height, width, channels]`. */
  | { data: Uint8Array; width: number; height: number };

/** An image with its name in messages. */
export interface NamedImage {
  name: string;
  image: WireImage;
}

/** A matrix in row-major order. */
export interface Matrix {
  /** Values, row by row. */
  data: Float32Array;
  /** Rows, columns. */
  shape: [number, number];
}

/** Embeddings of images. */
export interface EncodedImages {
  /** One row for each image that could be read, in their order. */
  embeddings: Matrix;
  /** The images that could not be read. */
  bad: { index: number; code: ClipErrorCode; message: string }[];
}

/** Embeddings of texts, one a row. */
export interface EncodedTexts extends Matrix {
  /** Warnings for the user, such as words that are not in the vocabulary. */
  warnings: string[];
}

/** Similarities of images and texts, one image a row. */
export interface Logits {
  /** Cosine similarity times the inverse temperature, plus SigLIP's bias. */
  logits: Float32Array;
  /** Softmax over the texts, or SigLIP's sigmoid of each. */
  probabilities: Float32Array;
  /** Images, texts. */
  shape: [number, number];
}
