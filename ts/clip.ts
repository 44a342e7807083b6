/** A CLIP that encodes. */

import { ClipError } from "../workers/error.js";
import type {
  CheckpointLayout,
  DeviceChoice,
  LoadRequest,
  Matrix,
  MemoryInfo,
  ModelInfo,
  TokenizerReference,
} from "../workers/protocol.js";
import type { Embeddings } from "./embeddings.js";
import { asArray, describe, type ImageInput, isPixelInput, type PixelInput, toWireImage } from "./images.js";
import { isTokenInput, type TokenInput, toTexts } from "./texts.js";
import { WorkerClient } from "./worker-client.js";

type Bytes = Uint8Array | ArrayBuffer | Blob;

/**
 * A safetensors file that clipwright wrote (it carries configuration and tokenizer), or the parts of a Hugging Face
 * checkpoint: `model.safetensors`, `config.json` and `merges.txt`.
 */
export type ClipSource =
  | Bytes
  | {
      weights: Bytes;
      /** `config.json`, as text or parsed. */
      config?: string | object;
      /** `merges.txt`. */
      merges?: string;
    };

/** How a model is loaded. */
export interface LoadOptions {
  /** @default "auto" */
  device?: DeviceChoice;
  /** Whose tokenization `merges` stands for. @default "open_clip" */
  tokenizer?: TokenizerReference;
}

/** How texts are encoded. */
export interface EncodeTextOptions {
  /** Cuts a caption that is longer than the context, keeping the end token, where it would be refused. @default false */
  truncate?: boolean;
}

/** Similarities of images and texts. */
export interface Logits {
  /** `exp(logitScale) × cosine`, images by texts, row by row. */
  logitsPerImage: Float32Array;
  /** Images, texts. */
  shape: [number, number];
}

async function toBytes(value: unknown): Promise<Uint8Array> {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (value instanceof Blob) return new Uint8Array(await value.arrayBuffer());
  throw new ClipError("invalid-source", `expected safetensors bytes or a Blob of them, got ${describe(value)}`);
}

/** A source and options as the worker takes them. */
export async function loadRequest(source: ClipSource, options: LoadOptions): Promise<LoadRequest> {
  const parts =
    typeof source === "object" && source !== null && "weights" in source ? source : { weights: source as Bytes };
  const { config, merges } = parts;
  return {
    weights: await toBytes(parts.weights),
    ...(config !== undefined && { config: typeof config === "string" ? config : JSON.stringify(config) }),
    ...(merges !== undefined && { merges }),
    reference: options.tokenizer ?? "open_clip",
    device: options.device ?? "auto",
  };
}

function embeddings({ data, shape }: Matrix): Embeddings {
  return { data, shape, normalized: true };
}

/** What {@link Clip} and `ClipTrainer` have in common: a model in a worker that maps images and texts into one space. */
export abstract class Encoder {
  /** The worker. */
  protected readonly client: WorkerClient;
  /** Configuration, and the device actually used and why. */
  info: ModelInfo;

  protected constructor(client: WorkerClient, info: ModelInfo) {
    this.client = client;
    this.info = info;
  }

  /**
   * Embeds one or many images.
   *
   * @throws ClipError `undecodable-image`, `image-too-small`, `invalid-image`, `empty-batch`, `shape-mismatch`
   */
  async encodeImage(images: ImageInput | readonly ImageInput[] | PixelInput): Promise<Embeddings> {
    if (isPixelInput(images)) return embeddings(await this.client.call((api) => api.encodePixels(images.pixelValues)));
    const wire = await Promise.all(asArray(images as ImageInput | readonly ImageInput[]).map(toWireImage));
    return embeddings(await this.client.call((api) => api.encodeImage(wire)));
  }

  /**
   * Embeds one or many texts.
   *
   * @throws ClipError `caption-too-long` without `truncate`, `empty-batch`, `token-out-of-range`
   */
  async encodeText(
    texts: string | readonly string[] | TokenInput,
    { truncate = false }: EncodeTextOptions = {},
  ): Promise<Embeddings> {
    if (isTokenInput(texts)) return embeddings(await this.client.call((api) => api.encodeIds(texts.inputIds)));
    const list = toTexts(texts);
    return embeddings(await this.client.call((api) => api.encodeText(list, truncate)));
  }

  /** Similarities of embeddings, or of images and texts, scaled by the learned temperature. */
  async logits(
    images: Embeddings | Parameters<Encoder["encodeImage"]>[0],
    texts: Embeddings | Parameters<Encoder["encodeText"]>[0],
  ): Promise<Logits> {
    const isEmbeddings = (value: unknown): value is Embeddings =>
      typeof value === "object" && value !== null && "normalized" in value;
    const a = isEmbeddings(images) ? images : await this.encodeImage(images);
    const b = isEmbeddings(texts) ? texts : await this.encodeText(texts);
    const { data, shape } = await this.client.call((api) => api.logitsPerImage(a.data, b.data));
    return { logitsPerImage: data, shape };
  }

  /** Token ids, `[texts, contextLength]`, row by row. */
  async tokenize(texts: string | readonly string[], { truncate = false }: EncodeTextOptions = {}): Promise<Int32Array> {
    const list = toTexts(texts);
    return this.client.call((api) => api.tokenize(list, truncate));
  }

  /** What the image tower sees: `[images, 3, size, size]`, resized as Pillow does and normalised. */
  async preprocess(images: ImageInput | readonly ImageInput[]): Promise<Float32Array> {
    const wire = await Promise.all(asArray(images).map(toWireImage));
    return this.client.call((api) => api.preprocess(wire));
  }

  /**
   * The weights as safetensors. PyTorch reads them under the names of `layout`; `Clip.load` reads the configuration and
   * the tokenizer from the same file.
   */
  async exportSafetensors(layout: CheckpointLayout = "hf"): Promise<Uint8Array> {
    return this.client.call((api) => api.save(layout));
  }

  /** Memory that the worker holds. */
  async memory(): Promise<MemoryInfo> {
    return this.client.call((api) => api.memory());
  }

  /** Ends the worker and gives its memory back; calls under way reject with `disposed`. Doing so again does nothing. */
  dispose(): void {
    this.client.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}

/** A CLIP that encodes images and texts. */
export class Clip extends Encoder {
  /**
   * Loads a checkpoint into a worker of its own.
   *
   * @throws ClipError `invalid-source`, `invalid-checkpoint`, `invalid-config`, `missing-tensor`, `shape-mismatch`,
   * `invalid-tokenizer`, `device-unavailable`
   *
   * @example
   * const clip = await Clip.load(await (await fetch("clip.safetensors")).arrayBuffer());
   * const { data } = await clip.encodeText("a photo of a cat");
   */
  static async load(source: ClipSource, options: LoadOptions = {}): Promise<Clip> {
    const request = await loadRequest(source, options);
    const client = await WorkerClient.start();
    try {
      return new Clip(client, await client.call((api) => api.load(request)));
    } catch (error) {
      client.dispose();
      throw error;
    }
  }
}
