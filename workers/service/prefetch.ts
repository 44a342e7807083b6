/** The images of a run's steps, made ahead of them in another worker. */

import { transfer } from "comlink";
import type { ReadyImage } from "../loading/images.js";
import { isBlob } from "../protocol/bytes.js";
import type { WorkerClient } from "../protocol/client.js";
import type { WireImage } from "../protocol/encode.js";
import type { Wanted } from "../runtime/wasm.js";
import type { HeldImage, ImageLoaderApi } from "./image-loader.js";

/** An image as another worker holds it: files stay where they are, what was fetched is not fetched again. */
export function toHeld(image: WireImage, ready: ReadyImage): WireImage {
  if ("path" in image || ("encoded" in image && isBlob(image.encoded))) return image;
  // a view of a large buffer would take all of it along; a Blob crosses by reference, and a browser may keep it on disk
  if ("encoded" in ready) return { encoded: new Blob([ready.encoded as Uint8Array<ArrayBuffer>]) };
  const { data, width, height } = ready;
  return { data: data.byteLength < data.buffer.byteLength ? data.slice() : data, width, height };
}

/** Images of one run. */
export class Prefetch {
  readonly #loader: WorkerClient<ImageLoaderApi>;
  readonly #augmenter: string;
  /** By step. */
  readonly #squares = new Map<number, Promise<Uint8Array>>();

  constructor(loader: WorkerClient<ImageLoaderApi>, augmenter: string) {
    this.#loader = loader;
    this.#augmenter = augmenter;
  }

  /** Takes the images of further pairs. */
  push(images: HeldImage[]): Promise<void> {
    // moved, not copied; two images may lie in one buffer
    const buffers = new Set(images.flatMap(({ image }) => ("data" in image ? [image.data.buffer] : [])));
    return this.#loader.call((api) => api.push(transfer(images, [...buffers])));
  }

  /** What a step wants; made once, however often it is asked for, unless it failed. */
  squares(wanted: Wanted): Promise<Uint8Array> {
    const { step, epoch, pairs } = wanted;
    wanted.free();
    for (const made of this.#squares.keys()) if (made < step - 1) this.#squares.delete(made);
    const known = this.#squares.get(step);
    if (known) return known;
    const squares = this.#loader.call((api) => api.squares(this.#augmenter, epoch, pairs));
    this.#squares.set(step, squares);
    // heard of where it is waited for
    squares.catch(() => this.#squares.delete(step));
    return squares;
  }

  /** Ends the other worker. */
  close(): void {
    this.#loader.dispose();
  }
}
