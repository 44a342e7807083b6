/** Loads a checkpoint into a worker. */

import { proxy } from "comlink";
import type { TokenizerReference, Towers } from "../../workers/protocol/config.js";
import { ClipError } from "../../workers/protocol/error.js";
import type { DeviceChoice, LoadProgress, LoadRequest, ModelInfo } from "../../workers/protocol/load.js";
import type { PlatformClass } from "../../workers/protocol/platform-class.js";
import { type ClipSource, type ServerOptions, toWireAdapter, toWireSource } from "../inputs/sources.js";
import { DEVICE, TOKENIZER } from "../options/choices.js";
import {
  alsoCalled,
  callback,
  oneOf,
  positiveInteger,
  type Schema,
  signal,
  stringRecord,
  text,
  unchecked,
} from "../options/rules.js";
import type { WorkerClient } from "../worker/client.js";

/** How a model is loaded. */
export interface LoadOptions extends ServerOptions {
  /** Where the model computes. @default "auto" */
  device?: DeviceChoice;
  /**
   * Towers to load; only their bytes are downloaded. With `"both"`, weights of a single tower load that one, and `info.warnings`
   * says so. @default "both"
   */
  towers?: Towers;
  /**
   * Element type of the weights:
   * - `"auto"` keeps half-precision weights as stored where the device supports it, and casts them at each use: half the memory;
   * - `"f32"` casts them once: faster;
   * - `"q8"` quantizes the blocks' matrices to 8-bit integers with a scale for each output, and casts token tables to half
   *   precision where the device supports it: a quarter of the memory, faster on the CPU, slightly different embeddings.
   * @default "auto"
   */
  dtype?: "auto" | "f32" | "q8";
  /** Largest size of one tensor in bytes; larger token tables are split. @default the device's limit */
  maxTensorBytes?: number;
  /**
   * Whose tokenization to follow, where the reference implementations differ; refused for a tokenizer that is not CLIP's.
   * @default that of the checkpoint's publisher
   */
  tokenizer?: TokenizerReference;
  /**
   * Low-rank adapters that are added to the weights: where PEFT's two files are, or the result of `exportAdapter`.
   * @default none
   */
  adapter?: ClipSource;
  /**
   * Whether to keep downloads for the next time. `"refresh"` downloads what changed on the server; the old files stay until the
   * new ones are complete. @default true
   */
  cache?: boolean | "refresh";
  /** Called with the progress, at most every 50 ms. @default none */
  onProgress?: (progress: LoadProgress) => void;
  /** Aborts the load and its downloads. @default none */
  signal?: PlatformClass<"AbortSignal">;
}

export const SERVER = {
  endpoint: alsoCalled("host", text("an address")),
  revision: alsoCalled("branch", text("a branch, a tag or a commit")),
  headers: alsoCalled("token authorization", stringRecord),
} satisfies Schema<ServerOptions>;

export const LOAD = {
  ...SERVER,
  device: DEVICE,
  towers: oneOf("both", "image", "text"),
  dtype: alsoCalled("quantization quantized", oneOf("auto", "f32", "q8")),
  maxTensorBytes: positiveInteger,
  tokenizer: TOKENIZER,
  adapter: unchecked<ClipSource>(),
  cache: oneOf<boolean | "refresh">(true, false, "refresh"),
  onProgress: alsoCalled("progresscallback", callback<(progress: LoadProgress) => void>()),
  signal,
} satisfies Schema<LoadOptions>;

/** A source and options, with their defaults, as the worker takes them. */
async function loadRequest(source: ClipSource, options: LoadOptions): Promise<LoadRequest> {
  const model = await toWireSource(source, options);
  return {
    source: model,
    ...(options.tokenizer !== undefined && { reference: options.tokenizer }),
    ...(options.adapter !== undefined && { adapter: await toWireAdapter(options.adapter, options, model) }),
    towers: options.towers ?? "both",
    dtype: options.dtype ?? "auto",
    ...(options.maxTensorBytes !== undefined && { maxTensorBytes: options.maxTensorBytes }),
    device: options.device ?? "auto",
    cache: options.cache ?? true,
  };
}

/** Milliseconds that an aborted worker has to close its files before it is terminated. */
const ABORT_GRACE = 500;

/** Loads a model into a worker. When `options.signal` aborts the load, the worker is terminated. */
export async function loadInto(client: WorkerClient, source: ClipSource, options: LoadOptions): Promise<ModelInfo> {
  const { signal, onProgress } = options;
  const aborted = () => new ClipError("aborted", "load aborted", { cause: signal?.reason });
  if (signal?.aborted) throw aborted();
  const request = await loadRequest(source, options);
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
