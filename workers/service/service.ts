/** Answers what `protocol.ts` asks: decodes arguments, calls the core, gives memory back. */

import { transfer } from "comlink";
import { mergeAdapter } from "../loading/adapter.js";
import { openModel } from "../loading/checkpoint.js";
import { type ReadyImage, readImage } from "../loading/images.js";
import { openCache, withSource } from "../loading/sources/open.js";
import type { ReadContext } from "../loading/sources/source.js";
import type { ForeignTokenizer } from "../loading/tokenizer/foreign-tokenizer.js";
import type { ClipWorkerApi, ExportedFile, MemoryInfo } from "../protocol/api.js";
import type { CheckpointLayout } from "../protocol/config.js";
import type { EncodedImages, Logits, Matrix, NamedImage, TextMatrix } from "../protocol/encode.js";
import { ClipError, inItem, toClipError } from "../protocol/error.js";
import type {
  CachedModel,
  DeviceChoice,
  DeviceInfo,
  LoadProgress,
  LoadRequest,
  ModelInfo,
  Work,
} from "../protocol/load.js";
import type {
  Adapter,
  CreateRequest,
  Evaluation,
  FitSettings,
  GradientResult,
  PairsHandle,
  PushOptions,
  SkippedPair,
  StepEvent,
  WirePair,
} from "../protocol/train.js";
import { openDevice } from "../runtime/device.js";
import {
  type ClipModel,
  type Core,
  type Device,
  type ImageBatch,
  loadWasm,
  type Trainer,
  trains,
  type WasmFor,
} from "../runtime/wasm.js";
import { keepState, takeState, writeState } from "../storage/states.js";
import type { Platform } from "./platform.js";
import { Throttle } from "./throttle.js";
import { Training } from "./training.js";
import { unseenWarning } from "./unseen-warning.js";

/** One model, and what is done with it. */
export class ClipService implements ClipWorkerApi {
  readonly #platform: Platform;
  #core: Core | undefined;
  #device: Device | undefined;
  #deviceInfo: DeviceInfo = { kind: "cpu", reason: "no model yet" };
  #model: ClipModel | undefined;
  /** Where the core cannot read the checkpoint's own. */
  #tokenizer: ForeignTokenizer | undefined;
  #warnings: string[] = [];
  #loading: AbortController | undefined;
  #training: Training | undefined;
  #configJson = "";
  /** The call before this one: the core answers one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #panic: ClipError | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Runs a call after all before it. A panic leaves the core's memory in an unknown state: no call after it. */
  #queue<T>(call: () => Promise<T> | T): Promise<T> {
    const run = async () => {
      if (this.#panic) throw this.#panic;
      try {
        return await call();
      } catch (error) {
        const clipError = toClipError(error);
        if (clipError.code === "panicked") this.#panic = clipError;
        throw clipError;
      }
    };
    const result = this.#last.then(run, run);
    this.#last = result.catch(() => undefined);
    return result;
  }

  /** Runs a call in the core: that of the device which was opened, or the smallest. */
  #queueInCore<T>(call: (core: Core) => Promise<T> | T): Promise<T> {
    return this.#queue(async () => {
      // without threads: what needs no device has no use for them
      this.#core ??= await loadWasm("encode", "cpu", { wasm: this.#platform.wasm });
      return call(this.#core);
    });
  }

  /** Opens a device, and runs a call in the core that does some work with it. */
  #queueOnDevice<W extends Work, T>(
    work: W,
    choice: DeviceChoice,
    call: (wasm: WasmFor<W>, device: Device) => Promise<T> | T,
  ): Promise<T> {
    return this.#queue(async () => {
      const { core, device, info } = await openDevice(choice, (kind) => loadWasm(work, kind, this.#platform));
      this.#core = core;
      this.#device = device;
      this.#deviceInfo = info;
      return call(core.wasm, device);
    });
  }

  /** Runs `use` on the model that encodes: the loaded one, or the trainer's present one. */
  async #withModel<T>(use: (model: ClipModel) => Promise<T> | T): Promise<T> {
    if (!this.#training) {
      if (!this.#model) throw new ClipError("no-weights", "no weights yet: expected a model to be loaded, got none");
      return use(this.#model);
    }
    const model = this.#training.trainer.model();
    try {
      return await use(model);
    } finally {
      model.free();
    }
  }

  #needTraining(): Training {
    if (!this.#training) throw new ClipError("unexpected", "expected a trainer, got a model that only encodes");
    return this.#training;
  }

  #needTrainer(): Trainer {
    return this.#needTraining().trainer;
  }

  async #info(): Promise<ModelInfo> {
    const [device, warnings] = [this.#deviceInfo, this.#warnings];
    try {
      return await this.#withModel((model) => ({
        config: JSON.parse(model.config),
        dtype: model.dtype as ModelInfo["dtype"],
        preprocess: JSON.parse(model.preprocess),
        device,
        warnings,
      }));
    } catch {
      // a trainer whose vocabulary is not yet known has no model to ask
      return { config: JSON.parse(this.#configJson), dtype: "f32", device, warnings };
    }
  }

  #matrix(data: Float32Array, columns: number): Matrix {
    return transfer({ data, shape: [data.length / columns, columns] }, [data.buffer]);
  }

  /** Embeddings, one a row. */
  #embed(embed: (model: ClipModel) => Promise<Float32Array>): Promise<Matrix> {
    return this.#queue(() => this.#withModel(async (model) => this.#matrix(await embed(model), model.embedDim)));
  }

  load(request: LoadRequest, onProgress?: (progress: LoadProgress) => void): Promise<ModelInfo> {
    const abort = new AbortController();
    this.#loading = abort;
    const throttle = new Throttle((progress: LoadProgress) => onProgress?.(progress));
    let totalBytes = 0;
    const context: ReadContext = {
      signal: abort.signal,
      warn: (warning) => this.#warnings.push(warning),
      progress: (event) => {
        totalBytes = event.totalBytes;
        throttle.send(event);
      },
    };
    return this.#queueOnDevice(request.work, request.device, async (wasm, device) => {
      const limit = request.maxTensorBytes ?? this.#deviceInfo.maxTensorBytes;
      const options = { ...request, ...(limit !== undefined && { maxTensorBytes: limit }) };
      const { result, warnings } = await withSource(request, wasm, this.#platform, context, (source) =>
        openModel(wasm, device, source, options, context, this.#platform),
      );
      const { model, tokenizer } = result;
      this.#warnings.push(...warnings);
      if (request.adapter) {
        const place = { ...request, source: request.adapter };
        const merged = await withSource(place, wasm, this.#platform, context, (source) => mergeAdapter(model, source));
        this.#warnings.push(...merged.warnings);
      }
      if (this.#deviceInfo.kind === "webgpu") {
        throttle.flush();
        onProgress?.({ phase: "compile", loadedBytes: totalBytes, totalBytes });
        await model.warmUp();
      }
      this.#model = model;
      this.#tokenizer = tokenizer;
      this.#warnings.push(...model.warnings, ...(tokenizer?.warningsFor(model.contextLength) ?? []));
      throttle.flush();
      return this.#info();
    });
  }

  abortLoad(): void {
    this.#loading?.abort();
  }

  cachedModels(): Promise<CachedModel[]> {
    return this.#queueInCore(async ({ wasm }) => (await openCache(wasm, this.#platform))?.list() ?? []);
  }

  deleteCached(url?: string): Promise<number> {
    return this.#queueInCore(async ({ wasm }) => (await openCache(wasm, this.#platform))?.delete(url) ?? 0);
  }

  create(request: CreateRequest): Promise<ModelInfo> {
    return this.#queueOnDevice("train", request.device, async (wasm, device) => {
      const tokenizer = new wasm.Tokenizer(request.merges ?? (await this.#platform.merges()), request.reference);
      this.#training = new Training(wasm, wasm.Trainer.create(request.config, tokenizer, request.seed, device));
      this.#configJson = request.config;
      this.#warnings.push(...this.#needTrainer().warnings);
      return this.#info();
    });
  }

  train(): Promise<ModelInfo> {
    return this.#queueInCore((core) => {
      if (!this.#model) throw new ClipError("no-weights", "no weights yet: expected a model to be loaded, got none");
      if (!trains(core))
        throw new ClipError("unexpected", "expected a model loaded to train, got one loaded to encode");
      const model = this.#model;
      this.#model = undefined;
      this.#training = new Training(core.wasm, core.wasm.Trainer.from(model));
      return this.#info();
    });
  }

  info(): Promise<ModelInfo> {
    return this.#queue(() => this.#info());
  }

  memory(): Promise<MemoryInfo> {
    return this.#queueInCore(({ memory }) => {
      const gpuBytes = this.#device?.reservedBytes;
      return { wasmBytes: memory.buffer.byteLength, ...(gpuBytes !== undefined && { gpuBytes }) };
    });
  }

  /** What became of images; those still to be fetched are fetched together, while other calls are answered. */
  #fetch(images: NamedImage[]): Promise<PromiseSettledResult<ReadyImage>[]> {
    return Promise.allSettled(images.map(({ image }) => readImage(image, this.#platform.readPath)));
  }

  /** Decodes images into a batch in the module; one that cannot be read is an error, or is added to `bad`. */
  async #withBatch<T>(
    model: ClipModel,
    images: NamedImage[],
    fetched: PromiseSettledResult<ReadyImage>[],
    bad: EncodedImages["bad"] | undefined,
    use: (batch: ImageBatch) => Promise<T> | T,
  ): Promise<T> {
    const batch = model.imageBatch();
    try {
      for (const [index, { name }] of images.entries()) {
        try {
          inItem(name, () => {
            const result = fetched[index] as PromiseSettledResult<ReadyImage>;
            if (result.status === "rejected") throw result.reason;
            const image = result.value;
            if ("encoded" in image) batch.pushEncoded(image.encoded);
            else batch.pushRaw(image.width, image.height, image.data);
          });
        } catch (error) {
          const { code, message } = toClipError(error);
          if (!bad || code === "panicked") throw error;
          bad.push({ index, code, message });
        }
      }
      return await use(batch);
    } finally {
      batch.free();
    }
  }

  async encodeImage(images: NamedImage[], skip: boolean): Promise<EncodedImages> {
    const fetched = await this.#fetch(images);
    const bad: EncodedImages["bad"] = [];
    const embeddings = await this.#embed((model) =>
      this.#withBatch(model, images, fetched, skip ? bad : undefined, (batch) =>
        bad.length > 0 && bad.length === images.length ? new Float32Array() : model.encodeImages(batch),
      ),
    );
    return transfer({ embeddings, bad }, [embeddings.data.buffer]);
  }

  encodeText(texts: string[], truncate: boolean): Promise<TextMatrix> {
    return this.#embedTexts(texts, truncate, (model, ids) => model.encodeIds(ids));
  }

  encodeLabels(captions: string[], perLabel: number, truncate: boolean): Promise<TextMatrix> {
    return this.#embedTexts(captions, truncate, (model, ids) => model.encodeLabels(ids, perLabel));
  }

  #embedTexts(
    texts: string[],
    truncate: boolean,
    embed: (model: ClipModel, ids: Int32Array) => Promise<Float32Array>,
  ): Promise<TextMatrix> {
    return this.#queue(() =>
      this.#withModel(async (model) => {
        const data = await embed(model, this.#tokenize(model, texts, truncate));
        const warnings = model.hasCutVocabulary ? unseenWarning(model.unseenWords(texts)) : [];
        return transfer({ data, shape: [data.length / model.embedDim, model.embedDim], warnings }, [data.buffer]);
      }),
    );
  }

  encodePixels(pixels: Float32Array): Promise<Matrix> {
    return this.#embed((model) => model.encodePixels(pixels));
  }

  encodeIds(ids: Int32Array): Promise<Matrix> {
    return this.#embed((model) => model.encodeIds(ids));
  }

  tokenize(texts: string[], truncate: boolean): Promise<Int32Array> {
    return this.#queue(() => this.#withModel((model) => this.#tokenize(model, texts, truncate)));
  }

  #tokenize(model: ClipModel, texts: string[], truncate: boolean): Int32Array {
    if (!this.#tokenizer || texts.length === 0) return model.tokenize(texts, truncate);
    return this.#tokenizer.tokenize(texts, model.contextLength, truncate);
  }

  fitProbe(features: Matrix, classes: Uint32Array, classCount: number, c: number): Promise<Matrix> {
    return this.#queueInCore(async (core) => {
      const { wasm } = trains(core) ? core : await loadWasm("train", "cpu", { wasm: this.#platform.wasm });
      const [, dim] = features.shape;
      const probe = wasm.LinearProbe.fit(features.data, dim, classes, classCount, c);
      const { weights } = probe;
      probe.free();
      return this.#matrix(weights, dim + 1);
    });
  }

  probeProbabilities(weights: Matrix, features: Matrix): Promise<Float32Array> {
    return this.#queueInCore(({ wasm }) => {
      const probe = new wasm.LinearProbe(weights.data, weights.shape[1] - 1);
      try {
        return probe.probabilities(features.data);
      } finally {
        probe.free();
      }
    });
  }

  async preprocess(images: NamedImage[]): Promise<Float32Array> {
    const fetched = await this.#fetch(images);
    return this.#queue(() =>
      this.#withModel((model) =>
        this.#withBatch(model, images, fetched, undefined, (batch) => {
          const pixels = batch.pixels();
          return transfer(pixels, [pixels.buffer]);
        }),
      ),
    );
  }

  logits(images: Float32Array, texts: Float32Array): Promise<Logits> {
    return this.#queue(() =>
      this.#withModel(async (model) => {
        const logits = await model.logitsPerImage(images, texts);
        const columns = texts.length / model.embedDim;
        const probabilities = model.probabilities(logits, columns);
        const shape: [number, number] = [logits.length / columns, columns];
        return transfer({ logits, probabilities, shape }, [logits.buffer, probabilities.buffer]);
      }),
    );
  }

  save(layout: CheckpointLayout): Promise<Uint8Array> {
    return this.#queue(() =>
      this.#withModel(async (model) => {
        const bytes = await model.save(layout);
        return transfer(bytes, [bytes.buffer]);
      }),
    );
  }

  exportFiles(layout: CheckpointLayout): Promise<ExportedFile[]> {
    return this.#queue(() =>
      this.#withModel(async (model) => {
        const files = await model.exportFiles(layout);
        const taken = files.names.map((name, index) => ({ name, data: files.take(index) }));
        files.free();
        for (const { name, data } of this.#tokenizer?.files ?? []) taken.push({ name, data: data.slice() });
        const buffers = taken.map(({ data }) => data.buffer);
        return transfer(taken, buffers);
      }),
    );
  }

  openPairs(): Promise<PairsHandle> {
    return this.#queue(() => this.#needTraining().open());
  }

  async pushPairs(handle: PairsHandle, pairs: WirePair[], options: PushOptions): Promise<SkippedPair[]> {
    const images = await Promise.allSettled(pairs.map(({ image }) => readImage(image, this.#platform.readPath)));
    const fetched = images.map((image, i) => ({ pair: pairs[i] as WirePair, image }));
    return this.#queue(() => this.#needTraining().push(handle, fetched, options));
  }

  closePairs(handle: PairsHandle): Promise<void> {
    return this.#queue(() => this.#needTraining().close(handle));
  }

  openRunPairs(settings: FitSettings | undefined): Promise<PairsHandle> {
    return this.#queue(() => this.#needTraining().openRun(settings, () => this.#platform.imageLoader()));
  }

  startFit(handle: PairsHandle, settings: FitSettings | undefined): Promise<void> {
    return this.#queue(() => this.#needTraining().begin(handle, settings));
  }

  stepFit(): Promise<StepEvent | undefined> {
    return this.#queue(() => this.#needTraining().step());
  }

  stopFit(): Promise<void> {
    return this.#queue(() => this.#needTraining().stop());
  }

  saveState(path?: string): Promise<Uint8Array | undefined> {
    return this.#queue(async () => {
      const bytes = await this.#needTrainer().saveState();
      if (path === undefined) return transfer(bytes, [bytes.buffer]);
      await writeState(this.#platform, path, bytes);
      return undefined;
    });
  }

  keepState(folder: string, keep: number): Promise<void> {
    return this.#queue(async () => keepState(this.#platform, folder, await this.#needTrainer().saveState(), keep));
  }

  saveAdapter(): Promise<Adapter> {
    return this.#queue(async () => {
      const adapter = await this.#needTrainer().saveAdapter();
      const { weights, config } = adapter;
      adapter.free();
      return transfer({ weights, config }, [weights.buffer]);
    });
  }

  resume(state: Uint8Array | string, choice: DeviceChoice): Promise<ModelInfo> {
    return this.#queueOnDevice("train", choice, async (wasm, device) => {
      const take = (bytes: Uint8Array) => wasm.Trainer.fromState(bytes, this.#deviceInfo.maxTensorBytes, device);
      if (typeof state === "string") {
        const { taken, damaged } = await takeState(this.#platform, state, take);
        if (damaged > 0) this.#warnings.push(`${damaged} newer states in ${state} were damaged and passed over`);
        this.#training = new Training(wasm, taken);
      } else {
        this.#training = new Training(wasm, take(state));
      }
      return this.#info();
    });
  }

  evaluate(pairs: PairsHandle, distractors: PairsHandle | undefined): Promise<Evaluation> {
    return this.#queue(() => this.#needTraining().evaluate(pairs, distractors));
  }

  embedPairImages(pairs: PairsHandle): Promise<Matrix> {
    return this.#queue(async () => {
      const { data, rows } = await this.#needTraining().embedImages(pairs);
      return this.#matrix(data, data.length / rows);
    });
  }

  gradients(pixels: Float32Array, ids: Int32Array, layout: CheckpointLayout): Promise<GradientResult> {
    return this.#queue(async () => {
      const result = await this.#needTrainer().gradients(pixels, ids, layout);
      const { loss, safetensors } = result;
      result.free();
      return transfer({ loss, safetensors }, [safetensors.buffer]);
    });
  }

  stepOn(pixels: Float32Array, ids: Int32Array, lr: number): Promise<number> {
    return this.#queue(() => this.#needTrainer().stepOn(pixels, ids, lr));
  }
}
