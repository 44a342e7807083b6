/** Prefetches the augmented images of a run's steps from another worker. */

import { transfer } from "comlink";
import type { LoadedImage } from "../loading/images.js";
import { isBlob } from "../protocol/bytes.js";
import type { WorkerClient } from "../protocol/client.js";
import type { NamedImage, WireImage } from "../protocol/encode.js";
import type { ImageRequest } from "../runtime/wasm.js";
import type { ImageLoaderApi } from "./image-loader.js";

/** Returns an image as the other worker keeps it: files are read again for each crop, downloads are not repeated. */
export function toLoaderImage(image: WireImage, loaded: LoadedImage): WireImage {
  if ("path" in image || ("encoded" in image && isBlob(image.encoded))) return image;
  // as a Blob, which is sent by reference and may be kept on disk; the bytes may be a view of a much larger buffer
  if ("encoded" in loaded) return { encoded: new Blob([loaded.encoded as Uint8Array<ArrayBuffer>]) };
  const { data, width, height } = loaded;
  return { data: data.byteLength < data.buffer.byteLength ? data.slice() : data, width, height };
}

/** The images of one run. */
export class Prefetch {
  readonly #loader: WorkerClient<ImageLoaderApi>;
  readonly #augmenter: string;
  /** By step. */
  readonly #crops = new Map<number, Promise<Uint8Array>>();

  constructor(loader: WorkerClient<ImageLoaderApi>, augmenter: string) {
    this.#loader = loader;
    this.#augmenter = augmenter;
  }

  /** Adds the images of further pairs. */
  push(images: NamedImage[]): Promise<void> {
    // transfers pixels; two images may share a buffer
    const buffers = new Set(images.flatMap(({ image }) => ("data" in image ? [image.data.buffer] : [])));
    return this.#loader.call((api) => api.push(transfer(images, [...buffers])));
  }

  /** Returns the crops of a step; requests them once, unless the request failed. */
  crops(request: ImageRequest): Promise<Uint8Array> {
    const { step, epoch, pairs } = request;
    request.free();
    for (const requested of this.#crops.keys()) if (requested < step - 1) this.#crops.delete(requested);
    const known = this.#crops.get(step);
    if (known) return known;
    const crops = this.#loader.call((api) => api.crops(this.#augmenter, epoch, pairs));
    this.#crops.set(step, crops);
    // the step that awaits them throws the error
    crops.catch(() => this.#crops.delete(step));
    return crops;
  }

  /** Ends the other worker. */
  close(): void {
    this.#loader.dispose();
  }
}
