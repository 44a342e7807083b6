/** A CLIP that encodes. */

import { proxy } from "comlink";
import type { ExportedFile, MemoryInfo } from "../workers/protocol/api.js";
import type { CheckpointLayout, TokenizerReference, Towers } from "../workers/protocol/config.js";
import type { Matrix, TextMatrix } from "../workers/protocol/encode.js";
import { ClipError } from "../workers/protocol/error.js";
import type {
  CachedModel,
  DeviceChoice,
  LoadProgress,
  LoadRequest,
  ModelInfo,
  Work,
} from "../workers/protocol/load.js";
import { LinearProbe, type ProbeOptions } from "./classify/linear-probe.js";
import { type LabelOptions, ZeroShotClassifier } from "./classify/zero-shot.js";
import { checkEmbeddings, type Embeddings, isEmbeddings } from "./encode/embeddings.js";
import { type BadImage, type EncodedImage, type EncodeImagesOptions, encodeEach } from "./encode/encode-each.js";
import { type ImageInput, isPixelInput, moveBitmaps, PIXELS, type PixelInput, toNamedImage } from "./inputs/images.js";
import { type ClipSource, type ServerOptions, toWireAdapter, toWireSource } from "./inputs/sources.js";
import { IDS, isTokenInput, type TokenInput, toTexts } from "./inputs/texts.js";
import { asArray } from "./options/describe.js";
import {
  callback,
  check,
  checked,
  elsewhere,
  flag,
  oneOf,
  type Schema,
  signal,
  size,
  text,
  texts,
} from "./options/options.js";
import { WorkerClient } from "./worker/client.js";

/** How a model is loaded. */
export interface LoadOptions extends ServerOptions {
  /** @default "auto" */
  device?: DeviceChoice;
  /**
   * Which towers; only their bytes are fetched. Of `both`, weights of one tower alone load with that one, and `info.warnings` says so.
   * @default "both"
   */
  towers?: Towers;
  /**
   * `"auto"` keeps half-precision weights as they are stored, where the device can, and widens them at each use: half the
   * memory. `"f32"` widens them once: faster. `"q8"` rounds the blocks' matrices to 8-bit integers while they are loaded,
   * each output's with a scale, and token tables to half precision where the device can: a quarter of the memory, faster on the CPU,
   * and embeddings that differ a little.
   * @default "auto"
   */
  dtype?: "auto" | "f32" | "q8";
  /** Bytes that one tensor may have; larger token tables are cut. @default the device's limit */
  maxTensorBytes?: number;
  /** Whose tokenization is given where the references differ. @default that of whoever published the checkpoint */
  tokenizer?: TokenizerReference;
  /**
   * Adds low-rank adapters to the weights: where PEFT's two files are, as for a checkpoint, or what `exportAdapter` gave. They
   * are then part of the model. @default none
   */
  adapter?: ClipSource;
  /**
   * Whether what is downloaded is kept for the next time. `"refresh"` fetches what has changed on the server; what is kept
   * stays until that has been loaded. @default true
   */
  cache?: boolean | "refresh";
  /** Told how far the load is, every 50 ms at most. */
  onProgress?: (progress: LoadProgress) => void;
  /** Ends the load, and the network with it. */
  signal?: AbortSignal;
}

const SERVER = {
  endpoint: text("an address"),
  revision: text("a branch, a tag or a commit"),
  headers: texts,
} satisfies Schema<ServerOptions>;

export const DEVICE = oneOf<DeviceChoice>("auto", "webgpu", "cpu");
export const TOKENIZER = oneOf<TokenizerReference>("open_clip", "openai", "hf", "hf_normalized");
export const LAYOUT = oneOf<CheckpointLayout>("hf", "open_clip");

const LOAD = {
  ...SERVER,
  device: DEVICE,
  towers: oneOf("both", "image", "text"),
  dtype: oneOf("auto", "f32", "q8"),
  maxTensorBytes: size,
  tokenizer: TOKENIZER,
  adapter: elsewhere<ClipSource>(),
  cache: oneOf<boolean | "refresh">(true, false, "refresh"),
  onProgress: callback<(progress: LoadProgress) => void>(),
  signal,
} satisfies Schema<LoadOptions>;

/** How texts are encoded. */
export interface EncodeTextOptions {
  /** Cuts a caption that is longer than the context, keeping the end token, where it would be refused. @default false */
  truncate?: boolean;
}

const ENCODE_TEXT = { truncate: flag } satisfies Schema<EncodeTextOptions>;

/** Similarities of images and texts. */
export interface Logits {
  /** `exp(logitScale) × cosine + logitBias`, images by texts, row by row. */
  logitsPerImage: Float32Array;
  /** What they say: of CLIP, how the texts share out each image; of SigLIP, each pair by itself. */
  probabilities: Float32Array;
  /** Images, texts. */
  shape: [number, number];
}

/** A source and options as the worker takes them. */
export async function loadRequest(source: ClipSource, work: Work, options: LoadOptions): Promise<LoadRequest> {
  return {
    source: await toWireSource(source, options),
    work,
    ...(options.tokenizer !== undefined && { reference: options.tokenizer }),
    ...(options.adapter !== undefined && { adapter: await toWireAdapter(options.adapter, options) }),
    towers: options.towers ?? "both",
    dtype: options.dtype ?? "auto",
    ...(options.maxTensorBytes !== undefined && { maxTensorBytes: options.maxTensorBytes }),
    device: options.device ?? "auto",
    cache: options.cache ?? true,
  };
}

/** Warnings from which on `info` takes in none about further texts. */
const MOST_WARNINGS = 32;

/** Time that a worker has to put its files in order before it is ended. */
const ABORT_GRACE = 500;

/** Loads a model into a worker; ends the worker where that fails or is aborted. */
export async function loadInto(
  client: WorkerClient,
  source: ClipSource,
  work: Work,
  options: LoadOptions,
): Promise<ModelInfo> {
  const { signal, onProgress } = options;
  const aborted = () =>
    new ClipError("aborted", "expected the load to be let finish, got an abort", { cause: signal?.reason });
  if (signal?.aborted) throw aborted();
  const request = await loadRequest(source, work, options);
  const loading = client.call((api) => api.load(request, onProgress && proxy(onProgress)));
  if (!signal) return loading;
  let onAbort = () => {};
  const abort = new Promise<never>((_, reject) => {
    onAbort = () => {
      reject(aborted());
      client.call((api) => api.abortLoad()).catch(() => undefined);
      const end = setTimeout(() => client.dispose(), ABORT_GRACE);
      loading
        .catch(() => undefined)
        .finally(() => {
          clearTimeout(end);
          client.dispose();
        });
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([loading, abort]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function embeddings({ data, shape }: Matrix): Embeddings {
  return { data, shape, normalized: true };
}

/** What {@link Clip} and `ClipTrainer` have in common: a model in a worker that maps images and texts into one space. */
export abstract class Encoder {
  /** The worker. */
  protected client: WorkerClient;
  /** Configuration, and the device actually used and why. */
  info: ModelInfo;

  protected constructor(client: WorkerClient, info: ModelInfo) {
    this.client = client;
    this.info = info;
  }

  /**
   * Embeds one or many images.
   *
   * @throws ClipError `undecodable-image`, `image-too-small`, `invalid-image`, `source-unreadable`, `missing-tower`, `empty-batch`, `shape-mismatch`
   */
  async encodeImage(images: ImageInput | readonly ImageInput[] | PixelInput): Promise<Embeddings> {
    if (isPixelInput(images)) {
      check("pixelValues", images.pixelValues, PIXELS);
      return embeddings(await this.client.call((api) => api.encodePixels(images.pixelValues)));
    }
    const named = await Promise.all(asArray(images as ImageInput | readonly ImageInput[]).map(toNamedImage));
    return embeddings((await this.client.call((api) => api.encodeImage(moveBitmaps(named), false))).embeddings);
  }

  /**
   * Embeds one or many texts. Words that a vocabulary cut to its captions has never seen are named in the `warnings` of what is
   * returned, and in `info.warnings`.
   *
   * @throws ClipError `caption-too-long` without `truncate`, `empty-batch`, `token-out-of-range`
   */
  async encodeText(
    texts: string | readonly string[] | TokenInput,
    options: EncodeTextOptions = {},
  ): Promise<Embeddings> {
    const { truncate = false } = checked("encodeText()", options, ENCODE_TEXT);
    if (isTokenInput(texts)) {
      check("inputIds", texts.inputIds, IDS);
      return embeddings(await this.client.call((api) => api.encodeIds(texts.inputIds)));
    }
    const list = toTexts(texts);
    return this.#withWarnings(await this.client.call((api) => api.encodeText(list, truncate)));
  }

  /** Embeddings of texts; what is odd about them is added to `info.warnings`. */
  #withWarnings({ warnings, ...matrix }: TextMatrix): Embeddings {
    if (warnings.length === 0) return embeddings(matrix);
    const told = this.info.warnings;
    const fresh = warnings.filter((warning) => !told.includes(warning));
    if (told.length < MOST_WARNINGS) this.info = { ...this.info, warnings: [...told, ...fresh] };
    return { ...embeddings(matrix), warnings };
  }

  /**
   * Similarities of embeddings, or of images and texts, scaled by the learned temperature, and what they say.
   *
   * @throws ClipError `missing-tensor` where the weights came without a temperature, and as `encodeImage` and `encodeText`
   */
  async logits(
    images: Embeddings | Parameters<Encoder["encodeImage"]>[0],
    texts: Embeddings | Parameters<Encoder["encodeText"]>[0],
  ): Promise<Logits> {
    this.#checkRows("images", images);
    this.#checkRows("texts", texts);
    const a = isEmbeddings(images) ? images : await this.encodeImage(images);
    const b = isEmbeddings(texts) ? texts : await this.encodeText(texts);
    const { logits, probabilities, shape } = await this.client.call((api) => api.logits(a.data, b.data));
    return { logitsPerImage: logits, probabilities, shape };
  }

  /** Refuses embeddings that are none of this model's. */
  #checkRows(name: string, given: unknown): void {
    if (!isEmbeddings(given)) return;
    checkEmbeddings(name, given);
    const { embedDim } = this.info.config;
    if (given.shape[1] === embedDim) return;
    const got = `[${given.shape.join(", ")}]`;
    throw new ClipError("shape-mismatch", `shape mismatch: ${name}: expected [n, ${embedDim}], got ${got}`);
  }

  /**
   * Embeds images one after another, in their order, as fast as they are taken: at most two batches are held. An image that
   * cannot be read yields its error in its place, or ends the stream where `badImages` says `"stop"`.
   *
   * @throws ClipError `invalid-option`, `invalid-source`, `missing-tower`, and with `badImages: "stop"` those of `encodeImage`
   *
   * @example
   * for await (const { index, key, embedding, error } of clip.encodeImages(files)) {
   *   if (error) console.warn(error.message);
   *   else store(key ?? index, embedding);
   * }
   */
  encodeImages(
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options: EncodeImagesOptions & { badImages: "stop" },
  ): AsyncGenerator<EncodedImage, void, undefined>;
  encodeImages(
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options?: EncodeImagesOptions,
  ): AsyncGenerator<EncodedImage | BadImage, void, undefined>;
  encodeImages(
    images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
    options: EncodeImagesOptions = {},
  ): AsyncGenerator<EncodedImage | BadImage, void, undefined> {
    return encodeEach(images, options, (batch, skip) =>
      this.client.call((api) => api.encodeImage(moveBitmaps(batch), skip)),
    );
  }

  /**
   * Makes a classifier of labels. Their captions are embedded once, here.
   *
   * @param options.templates Captions that each label is put into at `{}`, by name (`"openai"`: the 80 of CLIP's paper) or
   * one by one. @default ["a photo of a {}."]
   * @throws ClipError `invalid-option`, `caption-too-long`
   *
   * @example
   * const animals = await clip.zeroShotClassifier(["cat", "dog"], { templates: "openai" });
   * const [best] = await animals.classify(photo);
   */
  zeroShotClassifier(labels: readonly string[], options: LabelOptions = {}): Promise<ZeroShotClassifier> {
    return ZeroShotClassifier.create(labels, options, {
      encodeLabels: async (captions, perLabel, truncate) =>
        this.#withWarnings(await this.client.call((api) => api.encodeLabels(captions, perLabel, truncate))),
      encodeImage: (images) => this.encodeImage(images),
      logits: (images, texts) => this.logits(images, texts),
    });
  }

  /**
   * Learns to tell labels apart from labelled images alone, without changing the model: logistic regression on embeddings.
   *
   * @param labels one for each image, two different ones or more
   * @param options.c how much the images count against small weights, scikit-learn's `C` @default 0.316, as in CLIP's paper
   * @throws ClipError `count-mismatch`, `empty-batch`, `invalid-option`, those of `encodeImage`
   *
   * @example
   * const probe = await clip.linearProbe(photos, ["ripe", "ripe", "raw", …]);
   * const [best] = await probe.classify(photo);
   */
  linearProbe(
    images: readonly ImageInput[] | Embeddings,
    labels: readonly string[],
    options: ProbeOptions = {},
  ): Promise<LinearProbe> {
    return LinearProbe.fit(images, labels, options, {
      encodeImage: (images) => this.encodeImage(images),
      fit: ({ data, shape }, classes, count, c) =>
        this.client.call((api) => api.fitProbe({ data, shape }, classes, count, c)),
      probabilities: (weights, { data, shape }) =>
        this.client.call((api) => api.probeProbabilities(weights, { data, shape })),
    });
  }

  /** Token ids, `[texts, contextLength]`, row by row. */
  async tokenize(texts: string | readonly string[], options: EncodeTextOptions = {}): Promise<Int32Array> {
    const { truncate = false } = checked("tokenize()", options, ENCODE_TEXT);
    const list = toTexts(texts);
    return this.client.call((api) => api.tokenize(list, truncate));
  }

  /** What the image tower sees: `[images, 3, size, size]`, resized as Pillow does and normalised. */
  async preprocess(images: ImageInput | readonly ImageInput[]): Promise<Float32Array> {
    const named = await Promise.all(asArray(images).map(toNamedImage));
    return this.client.call((api) => api.preprocess(moveBitmaps(named)));
  }

  /**
   * The weights as safetensors. PyTorch reads them under the names of `layout`; `Clip.load` reads the configuration and
   * CLIP's tokenizer from the same file; another tokenizer is in `exportFiles` alone.
   */
  async exportSafetensors(layout: CheckpointLayout = "hf"): Promise<Uint8Array> {
    check("layout", layout, LAYOUT);
    return this.client.call((api) => api.save(layout));
  }

  /**
   * The files of a folder that PyTorch's libraries load unchanged: `CLIPModel.from_pretrained(folder)` with `"hf"`,
   * `open_clip.create_model_from_pretrained("local-dir:folder")` with `"open_clip"`; tokenizer and transform are among them.
   *
   * @throws ClipError `invalid-option` for a model that the layout has no words for, `no-weights`
   */
  async exportFiles(layout: CheckpointLayout = "hf"): Promise<ExportedFile[]> {
    check("layout", layout, LAYOUT);
    return this.client.call((api) => api.exportFiles(layout));
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
  /** Models kept from earlier downloads, of this page's origin or this user. */
  readonly cache = {
    /** What is kept, the latest first. */
    list: (): Promise<CachedModel[]> => this.client.call((api) => api.cachedModels()),
    /** Forgets the models of an address, or all; tells how many there were. */
    delete: async (url?: string): Promise<number> => {
      if (url !== undefined) check("url", url, text("the address of a model"));
      return this.client.call((api) => api.deleteCached(url));
    },
  };

  /**
   * Loads a checkpoint into a worker of its own.
   *
   * @throws ClipError `invalid-source`, `source-unreadable`, `checksum-mismatch`, `invalid-checkpoint`, `invalid-config`,
   * `missing-tensor`, `extra-tensor`, `shape-mismatch`, `invalid-tokenizer`, `device-unavailable`, `aborted`
   *
   * @example
   * const clip = await Clip.load("laion/CLIP-ViT-B-32-laion2B-s34B-b79K");
   * const { data } = await clip.encodeText("a photo of a cat");
   */
  static async load(source: ClipSource, options: LoadOptions = {}): Promise<Clip> {
    const given = checked("Clip.load()", options, LOAD);
    const client = await WorkerClient.start();
    try {
      return new Clip(client, await loadInto(client, source, "encode", given));
    } catch (error) {
      // an aborted load ends its worker by itself, when its files are in order
      if (!given.signal?.aborted) client.dispose();
      throw error;
    }
  }
}
