/** Augments the images of a run, in a worker of its own; `prefetch.ts` calls it. */

import { transfer } from "comlink";
import { loadImage } from "../loading/images.js";
import type { NamedImage } from "../protocol/encode.js";
import { about, ClipError, toClipError } from "../protocol/error.js";
import { type Augmenter, loadWasm, type RuntimePlatform } from "../runtime/wasm.js";

/** The calls that the worker answers. */
export interface ImageLoaderApi {
  /** Adds images; their indices count from 0. */
  push(images: NamedImage[]): Promise<void>;
  /** Reads, decodes and crops images for an epoch; returns RGB bytes, `[images, size, size, 3]`. `augmenter` is the core's JSON. */
  crops(augmenter: string, epoch: number, indices: Uint32Array): Promise<Uint8Array>;
}

/** What the worker needs from the platform. */
export interface ImageLoaderPlatform extends RuntimePlatform<"train"> {
  /** Reads a file on disk; only Node has it. */
  readPath?(path: string): Promise<Uint8Array>;
}

/** Holds the images of one run. */
export class ImageLoader implements ImageLoaderApi {
  readonly #platform: ImageLoaderPlatform;
  readonly #images: NamedImage[] = [];

  constructor(platform: ImageLoaderPlatform) {
    this.#platform = platform;
  }

  async push(images: NamedImage[]): Promise<void> {
    // loads the module before the first step waits for it
    await loadWasm("cpu", this.#platform);
    this.#images.push(...images);
  }

  async crops(augmenterJson: string, epoch: number, indices: Uint32Array): Promise<Uint8Array> {
    const { wasm } = await loadWasm("cpu", this.#platform);
    const augmenter = new wasm.Augmenter(augmenterJson);
    let all = new Uint8Array();
    for (const [i, index] of indices.entries()) {
      const crop = await this.#crop(augmenter, epoch, index);
      if (i === 0) all = new Uint8Array(indices.length * crop.length);
      all.set(crop, i * crop.length);
    }
    augmenter.free();
    return transfer(all, [all.buffer]);
  }

  async #crop(augmenter: Augmenter, epoch: number, index: number): Promise<Uint8Array> {
    const { name, image } = this.#images[index] ?? { name: `image ${index}`, image: undefined };
    try {
      if (!image) throw new ClipError("unexpected", `unknown image ${index}`);
      const loaded = await loadImage(image, this.#platform.readPath);
      if ("encoded" in loaded) return augmenter.ofEncoded(loaded.encoded, epoch, index);
      return augmenter.ofRaw(loaded.width, loaded.height, loaded.data, epoch, index);
    } catch (error) {
      const { code, message } = toClipError(error);
      throw new ClipError(code, about(name, message));
    }
  }
}
