/**
 * Instantiates the core's modules. There are eight: two sorts of work times four devices. A worker fetches one of them.
 *
 * - `encode` only encodes; `train` can do both, and is half as large again.
 * - `cpu`, `cpu-relaxed` for engines with relaxed SIMD, `cpu-threads` with relaxed SIMD and threads, and `webgpu` with a CPU
 *   for the self-test. All have the same classes.
 */

import { relaxedSimd } from "wasm-feature-detect";
import type { Work } from "../protocol/load.js";
import type * as encodeGlue from "../wasm/encode-cpu.js";
import type * as trainGlue from "../wasm/train-cpu.js";
import { loadPackaged } from "./packaged-file.js";
import { startThreads, threadCount } from "./threads.js";

export type { ClipModel, Device, Headers, ImageBatch, ModelLoader } from "../wasm/encode-cpu.js";
export type { Augmenter, ImageRequest, Pairs, TrainingSession } from "../wasm/train-cpu.js";

/** Classes of a module that encodes. */
export type EncodingWasm = Omit<typeof encodeGlue, "default" | "initSync">;

/** Classes of a module that also trains. */
export type TrainingWasm = Omit<typeof trainGlue, "default" | "initSync">;

/** Classes of a module, by its work. */
export type WasmFor<W extends Work> = W extends "train" ? TrainingWasm : EncodingWasm;

/** Name of a module. */
export type WasmModule = `${Work}-${"cpu" | "cpu-relaxed" | "cpu-threads" | "webgpu"}`;

/** A module as bytes, or its URL. */
export type WasmBinary = BufferSource | URL;

/** An instance of a module. */
export interface Core<W extends Work = Work> {
  /** Its classes. */
  wasm: WasmFor<W>;
  memory: WebAssembly.Memory;
  /** Number of threads that compute, at least 1. */
  threads: number;
}

/** Whether an instance can train. */
export function trains(core: Core): core is Core & { wasm: TrainingWasm } {
  return "TrainingSession" in core.wasm;
}

/** What the modules need from the platform, a browser or Node. */
export interface RuntimePlatform {
  /** Returns a module. */
  wasm(module: WasmModule): Promise<WasmBinary>;
  /** Starts a worker that runs `entries/thread.ts`; only browsers have it. */
  thread?(): Worker;
}

/** The generated glue of a module. */
type Glue = EncodingWasm & {
  default(options: { module_or_path: WasmBinary | WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
};

type ThreadedGlue = Glue & { Threads: { fill(count: number): void } };

/** Imports the glue of a module with threads; each thread does so, too. */
export const THREADED_GLUE = {
  encode: () => import("../wasm/encode-cpu-threads.js"),
  train: () => import("../wasm/train-cpu-threads.js"),
};

const GLUE = {
  "encode-cpu": () => import("../wasm/encode-cpu.js"),
  "encode-cpu-relaxed": () => import("../wasm/encode-cpu-relaxed.js"),
  "encode-webgpu": () => import("../wasm/encode-webgpu.js"),
  "train-cpu": () => import("../wasm/train-cpu.js"),
  "train-cpu-relaxed": () => import("../wasm/train-cpu-relaxed.js"),
  "train-webgpu": () => import("../wasm/train-webgpu.js"),
} satisfies Partial<Record<WasmModule, () => Promise<Glue>>>;

const instances = new Map<WasmModule, Promise<Core>>();

/** Runs a glue's `init` on its module. */
export function instantiate<T>(
  module: string,
  module_or_path: WasmBinary,
  init: (options: { module_or_path: WasmBinary }) => Promise<T>,
): Promise<T> {
  const place = module_or_path instanceof URL ? ` at ${module_or_path}` : "";
  return loadPackaged(`module ${module}${place}`, () => init({ module_or_path }));
}

/** Runs `make` once per worker. */
function once(module: WasmModule, make: () => Promise<Core>): Promise<Core> {
  const instance = instances.get(module) ?? make();
  instances.set(module, instance);
  return instance;
}

const single = (module: keyof typeof GLUE, platform: RuntimePlatform): Promise<Core> =>
  once(module, async () => {
    try {
      const [wasm, module_or_path]: [Glue, WasmBinary] = await loadPackaged(`module ${module}`, () =>
        Promise.all([GLUE[module](), platform.wasm(module)]),
      );
      const { memory } = await instantiate(module, module_or_path, wasm.default);
      return { wasm, memory, threads: 1 };
    } catch (error) {
      // the next call tries again: a network may recover. Threads are not tried again: a page's policy does not change
      instances.delete(module);
      throw error;
    }
  });

const threaded = (work: Work, platform: RuntimePlatform, start: () => Worker): Promise<Core> =>
  once(`${work}-cpu-threads`, async () => {
    const source = await platform.wasm(`${work}-cpu-threads`);
    const [wasm, module]: [ThreadedGlue, WebAssembly.Module] = await Promise.all([
      THREADED_GLUE[work](),
      source instanceof URL ? WebAssembly.compileStreaming(fetch(source)) : WebAssembly.compile(source),
    ]);
    const { memory } = await wasm.default({ module_or_path: module });
    return { wasm, memory, threads: await startThreads(start, wasm.Threads, { work, module, memory }) };
  });

async function load(work: Work, device: "cpu" | "webgpu", platform: RuntimePlatform): Promise<Core> {
  if (device === "webgpu") return single(`${work}-webgpu`, platform);
  if (!(await relaxedSimd())) return single(`${work}-cpu`, platform);
  // one thread if the page's policy forbids more workers
  if (platform.thread && threadCount() > 1)
    return threaded(work, platform, platform.thread).catch(() => single(`${work}-cpu-relaxed`, platform));
  return single(`${work}-cpu-relaxed`, platform);
}

/** Instantiates the module for a work on a device, once per worker. */
export function loadWasm<W extends Work>(
  work: W,
  device: "cpu" | "webgpu",
  platform: RuntimePlatform,
): Promise<Core<W>> {
  // the module is the one for `W`
  return load(work, device, platform) as Promise<Core<W>>;
}
