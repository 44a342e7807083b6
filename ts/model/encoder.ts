/** What `Clip` and `ClipTrainer` share: a model in a worker. */

import type { ExportedFile, MemoryInfo } from "../../workers/protocol/api.js";
import type { OwnBytes } from "../../workers/protocol/bytes.js";
import type { CheckpointLayout } from "../../workers/protocol/config.js";
import type { EncodedTexts } from "../../workers/protocol/encode.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { ModelInfo } from "../../workers/protocol/load.js";
import { LinearProbe, type ProbeOptions } from "../classify/linear-probe.js";
import { type LabelOptions, ZeroShotClassifier } from "../classify/zero-shot.js";
import { checkEmbeddings, type Embeddings, isEmbeddings, toEmbeddings } from "../encode/embeddings.js";
import { type BadImage, type EncodedImage, type EncodeImagesOptions, encodeEach } from "../encode/encode-each.js";
import type { Logits } from "../encode/logits.js";
import {
  type ImageInput,
  type ImagesInput,
  isPixelInput,
  moveBitmaps,
  PIXELS,
  toNamedImage,
} from "../inputs/images.js";
import { IDS, isTokenInput, type TextsInput, toTexts } from "../inputs/texts.js";
import { asArray } from "../options/as-array.js";
import { check, checkOptions } from "../options/check.js";
import { LAYOUT } from "../options/choices.js";
import { alsoCalled, flag, type Schema } from "../options/rules.js";
import type { WorkerClient } from "../worker/client.js";

/** How texts are encoded. */
export interface EncodeTextOptions {
  /** Cuts texts longer than the context, keeping the end token, instead of refusing them. @default false */
  truncate?: boolean;
}

const ENCODE_TEXT = { truncate: alsoCalled("truncation", flag) } satisfies Schema<EncodeTextOptions>;

/** Number of warnings in `info` from which on it takes in no more of them. */
const MAX_WARNINGS = 32;

/** A model in a worker that embeds images and texts in one space. The base of `Clip` and `ClipTrainer`. */
export abstract class Encoder {
  /** @internal */
  protected client: WorkerClient;
  /** Configuration, device and warnings. */
  info: ModelInfo;

  /** @internal */
  protected constructor(client: WorkerClient, info: ModelInfo) {
    this.client = client;
    this.info = info;
  }

  /**
   * Embeds one or several images.
   *
   * @throws ClipError `undecodable-image`, `image-too-small`, `image-too-large`, `invalid-image`, `source-unreadable`,
   * `missing-tower`, `no-weights`, `empty-batch`, `shape-mismatch`, `invalid-option`
   */
  async encodeImage(images: ImagesInput): Promise<Embeddings> {
    if (isPixelInput(images)) {
      check("pixelValues", images.pixelValues, PIXELS);
      return toEmbeddings(await this.client.call((api) => api.encodePixels(images.pixelValues)));
    }
    const named = await Promise.all(asArray(images as ImageInput | readonly ImageInput[]).map(toNamedImage));
    return toEmbeddings((await this.client.call((api) => api.encodeImage(moveBitmaps(named), false))).embeddings);
  }

  /**
   * Embeds one or several texts. Where the vocabulary was cut to the captions of a training, `warnings` of the result and
   * `info.warnings` name the words that it has never seen.
   *
   * @throws ClipError `caption-too-long` without `truncate`, `empty-batch`, `token-out-of-range`, `shape-mismatch`,
   * `missing-tower`, `no-weights`, `invalid-option`
   */
  async encodeText(texts: TextsInput, options: EncodeTextOptions = {}): Promise<Embeddings> {
    const { truncate = false } = checkOptions("encodeText()", options, ENCODE_TEXT);
    if (isTokenInput(texts)) {
      check("inputIds", texts.inputIds, IDS);
      return toEmbeddings(await this.client.call((api) => api.encodeIds(texts.inputIds)));
    }
    const list = toTexts(texts);
    return this.#withWarnings(await this.client.call((api) => api.encodeText(list, truncate)));
  }

  /** Returns embeddings of texts, and adds their warnings to `info.warnings`. */
  #withWarnings({ warnings, ...matrix }: EncodedTexts): Embeddings {
    if (warnings.length === 0) return toEmbeddings(matrix);
    const known = this.info.warnings;
    const fresh = warnings.filter((warning) => !known.includes(warning));
    if (known.length < MAX_WARNINGS) this.info = { ...this.info, warnings: [...known, ...fresh] };
    return { ...toEmbeddings(matrix), warnings };
  }

  /**
   * Returns the similarities of images and texts, or of their embeddings, scaled by the learned temperature, and the
   * probabilities that follow from them.
   *
   * @throws ClipError `missing-tensor` for weights without a temperature, `shape-mismatch` for embeddings of another model, and
   * those of `encodeImage` and `encodeText`
   */
  async logits(images: Embeddings | ImagesInput, texts: Embeddings | TextsInput): Promise<Logits> {
    this.#checkRows("images", images);
    this.#checkRows("texts", texts);
    const a = isEmbeddings(images) ? images : await this.encodeImage(images);
    const b = isEmbeddings(texts) ? texts : await this.encodeText(texts);
    const { logits, probabilities, shape } = await this.client.call((api) => api.logits(a.data, b.data));
    return { logitsPerImage: logits, probabilities, shape };
  }

  /** Refuses embeddings that this model cannot have made. */
  #checkRows(name: string, value: unknown): void {
    if (!isEmbeddings(value)) return;
    checkEmbeddings(name, value);
    const { embedDim } = this.info.config;
    if (value.shape[1] === embedDim) return;
    const got = `[${value.shape.join(", ")}]`;
    throw new ClipError("shape-mismatch", `shape mismatch: ${name}: expected [n, ${embedDim}], got ${got}`);
  }

  /**
   * Embeds a stream of images in order, no faster than the results are read: at most two batches are in memory. An image that
   * cannot be read yields its error in its place, or ends the stream with `badImages: "stop"`.
   *
   * @throws ClipError `invalid-option`, `invalid-source`, `missing-tower`, `no-weights`; with `badImages: "stop"` those of
   * `encodeImage`
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
   * Makes a zero-shot classifier. It embeds the captions of the labels once, here.
   *
   * @throws ClipError `invalid-option`, and those of `encodeText`
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
   * Fits a classifier to labelled images without changing the model: logistic regression on their embeddings.
   *
   * @param labels - one for each image; at least two different ones
   * @throws ClipError `count-mismatch`, `empty-batch`, `invalid-option`, and those of `encodeImage`
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

  /**
   * Returns the token ids of texts, `[texts, contextLength]`, row by row.
   *
   * @throws ClipError `caption-too-long` without `truncate`, `no-weights`, `invalid-option`
   */
  async tokenize(texts: string | readonly string[], options: EncodeTextOptions = {}): Promise<Int32Array> {
    const { truncate = false } = checkOptions("tokenize()", options, ENCODE_TEXT);
    const list = toTexts(texts);
    return this.client.call((api) => api.tokenize(list, truncate));
  }

  /**
   * Returns the input of the image tower, `[images, 3, size, size]`: images resized as Pillow resizes them, and normalised.
   *
   * @throws ClipError those of `encodeImage`
   */
  async preprocess(images: ImageInput | readonly ImageInput[]): Promise<Float32Array> {
    const named = await Promise.all(asArray(images).map(toNamedImage));
    return this.client.call((api) => api.preprocess(moveBitmaps(named)));
  }

  /**
   * Returns the weights as a safetensors file. PyTorch reads them by the names of `layout`; `Clip.load` reads configuration and
   * CLIP's tokenizer from the same file. Other tokenizers are in `exportFiles` only.
   *
   * @param layout - naming scheme of the tensors @default "hf"
   * @throws ClipError `invalid-option` also for a model that the layout cannot express; `no-weights`
   */
  async exportSafetensors(layout: CheckpointLayout = "hf"): Promise<OwnBytes> {
    check("layout", layout, LAYOUT);
    return this.client.call((api) => api.save(layout));
  }

  /**
   * Returns the files of a folder that PyTorch's libraries load: `CLIPModel.from_pretrained(folder)` with `"hf"`,
   * `open_clip.create_model_from_pretrained("local-dir:folder")` with `"open_clip"`. Tokenizer and transform are among them.
   *
   * @param layout - naming scheme of tensors and files @default "hf"
   * @throws ClipError `invalid-option` also for a model that the layout cannot express; `no-weights`
   */
  async exportFiles(layout: CheckpointLayout = "hf"): Promise<ExportedFile[]> {
    check("layout", layout, LAYOUT);
    return this.client.call((api) => api.exportFiles(layout));
  }

  /** Returns the memory that the worker holds, in bytes. */
  async memory(): Promise<MemoryInfo> {
    return this.client.call((api) => api.memory());
  }

  /** Ends the worker and frees its memory. Pending calls reject with `disposed`. Further calls do nothing. */
  dispose(): void {
    this.client.dispose();
  }

  /** `using clip = await Clip.load(…)` disposes at the end of the block. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /** `await using` does the same. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.dispose();
  }
}
