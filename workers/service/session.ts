/** The state of a worker: its device, and the model or trainer on it. */

import type { ForeignTokenizer } from "../loading/tokenizer/foreign-tokenizer.js";
import { ClipError, toClipError } from "../protocol/error.js";
import type { DeviceChoice, DeviceInfo, ModelInfo, Work } from "../protocol/load.js";
import { CallQueue } from "../runtime/call-queue.js";
import { openDevice } from "../runtime/device.js";
import { type ClipModel, type Core, type Device, loadWasm, type WasmFor } from "../runtime/wasm.js";
import type { Platform } from "./platform.js";
import type { Training } from "./training.js";

/** One model and its device. Calls on them are queued. */
export class Session<W extends Work = Work> {
  readonly platform: Platform<W>;
  readonly #queue = new CallQueue();
  #core: Core<W> | undefined;
  #device: Device | undefined;
  #deviceInfo: DeviceInfo = { kind: "cpu", reason: "no model yet" };
  #model: ClipModel | undefined;
  #training: Training | undefined;
  /** JSON of a config that was given without weights. */
  #configJson: string | undefined;
  /** Tokenizer of the checkpoint, if it is not CLIP's. */
  tokenizer: ForeignTokenizer | undefined;
  /** Warnings for the user. */
  readonly warnings: string[] = [];

  constructor(platform: Platform<W>) {
    this.platform = platform;
  }

  /** The opened device. */
  get deviceInfo(): DeviceInfo {
    return this.#deviceInfo;
  }

  /** Memory of the GPU's allocator in bytes; `undefined` on the CPU. */
  get gpuBytes(): number | undefined {
    return this.#device?.reservedBytes;
  }

  /** Runs a call after all calls before it. */
  queue<T>(call: () => Promise<T> | T): Promise<T> {
    return this.#queue.run(call);
  }

  /** Queues a call of the core: the module of the opened device, or else the smallest. */
  queueInCore<T>(call: (core: Core<W>) => Promise<T> | T): Promise<T> {
    return this.queue(async () => {
      // without threads, which only a device uses
      const { modules, binary } = this.platform;
      this.#core ??= await loadWasm("cpu", { modules, binary });
      return call(this.#core);
    });
  }

  /** Queues a call on a newly opened device. */
  queueOnDevice<T>(choice: DeviceChoice, call: (wasm: WasmFor<W>, device: Device) => Promise<T> | T): Promise<T> {
    return this.queue(async () => {
      const { core, device, info } = await openDevice(choice, (kind) => loadWasm(kind, this.platform), this.platform);
      if (core.warning !== undefined) this.warnings.push(core.warning);
      this.#core = core;
      this.#device = device;
      this.#deviceInfo = info;
      return call(core.wasm, device);
    });
  }

  /** Queues a call of the model: the loaded one, or the trainer's current one. */
  queueOnModel<T>(use: (model: ClipModel) => Promise<T> | T): Promise<T> {
    return this.queue(() => this.#withModel(use));
  }

  /** Queues a call of the trainer. */
  queueOnTraining<T>(use: (training: Training) => Promise<T> | T): Promise<T> {
    return this.queue(() => {
      if (!this.#training)
        throw new ClipError("unexpected", "this worker has no trainer yet: call create, train or resume first");
      return use(this.#training);
    });
  }

  async #withModel<T>(use: (model: ClipModel) => Promise<T> | T): Promise<T> {
    if (!this.#training) return use(this.#needModel());
    const model = this.#training.trainingSession.model();
    try {
      return await use(model);
    } finally {
      model.free();
    }
  }

  #needModel(): ClipModel {
    if (!this.#model) throw new ClipError("no-weights", "no model loaded: call load or create first");
    return this.#model;
  }

  /** Sets the loaded model. */
  setModel(model: ClipModel, tokenizer: ForeignTokenizer | undefined): void {
    this.#model = model;
    this.tokenizer = tokenizer;
  }

  /** Returns the loaded model and forgets it: a trainer consumes it. */
  takeModel(): ClipModel {
    const model = this.#needModel();
    this.#model = undefined;
    return model;
  }

  /** Sets the trainer; `configJson` is the config of one that has no weights yet. */
  setTraining(training: Training, configJson?: string): void {
    this.#training = training;
    this.#configJson = configJson;
  }

  /** Describes the model. To be called from within the queue. */
  async info(): Promise<ModelInfo> {
    const { deviceInfo: device, warnings } = this;
    try {
      return await this.#withModel((model) => ({
        config: JSON.parse(model.config),
        dtype: model.dtype as ModelInfo["dtype"],
        preprocess: JSON.parse(model.preprocess),
        device,
        warnings,
      }));
    } catch (error) {
      // until its first run a trainer may have no model: the vocabulary is cut to the captions
      if (this.#configJson === undefined || toClipError(error).code !== "no-weights") throw error;
      return { config: JSON.parse(this.#configJson), dtype: "f32", device, warnings };
    }
  }
}
