/** Makes the images of training steps, in a worker of its own: a run asks for them through `prefetch.ts`. */

import { transfer } from "comlink";
import { readImage } from "../loading/images.js";
import type { NamedImage } from "../protocol/encode.js";
import { about, ClipError, toClipError } from "../protocol/error.js";
import { type Augmenter, loadWasm, type RuntimePlatform } from "../runtime/wasm.js";

/** An image that is read, decoded and cut anew each time that it is asked for. */
export type HeldImage = NamedImage;

/** What a loader is asked. */
export interface ImageLoaderApi {
  /** Adds images; they are numbered from 0. */
  push(images: HeldImage[]): Promise<void>;
  /** Their squares for an epoch, one after another; `augmenter` as the core gives it. */
  squares(augmenter: string, epoch: number, images: Uint32Array): Promise<Uint8Array>;
}

/** What the platform must bring along. */
export interface LoaderPlatform extends Pick<RuntimePlatform, "wasm"> {
  readPath?(path: string): Promise<Uint8Array>;
}

/** The loader of one run. */
export class ImageLoader implements ImageLoaderApi {
  readonly #platform: LoaderPlatform;
  readonly #images: HeldImage[] = [];

  constructor(platform: LoaderPlatform) {
    this.#platform = platform;
  }

  async push(images: HeldImage[]): Promise<void> {
    // the module is there before it is needed
    await loadWasm("train", "cpu", this.#platform);
    this.#images.push(...images);
  }

  async squares(augmenterJson: string, epoch: number, images: Uint32Array): Promise<Uint8Array> {
    const { wasm } = await loadWasm("train", "cpu", this.#platform);
    const augmenter = new wasm.Augmenter(augmenterJson);
    let all = new Uint8Array();
    for (const [i, index] of images.entries()) {
      const square = await this.#square(augmenter, epoch, index);
      if (i === 0) all = new Uint8Array(images.length * square.length);
      all.set(square, i * square.length);
    }
    augmenter.free();
    return transfer(all, [all.buffer]);
  }

  async #square(augmenter: Augmenter, epoch: number, index: number): Promise<Uint8Array> {
    const { name, image } = this.#images[index] ?? { name: `image ${index}`, image: undefined };
    try {
      if (!image) throw new ClipError("unexpected", "expected one that was sent, got another");
      const ready = await readImage(image, this.#platform.readPath);
      if ("encoded" in ready) return augmenter.ofEncoded(ready.encoded, epoch, index);
      return augmenter.ofRaw(ready.width, ready.height, ready.data, epoch, index);
    } catch (error) {
      const { code, message } = toClipError(error);
      throw new ClipError(code, about(name, message));
    }
  }
}
