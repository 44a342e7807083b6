/**
 * The imports of the core's generated glue. The core comes in eight modules, of which a worker fetches the one that does its work
 * on its device. Those that train can all that those that encode can, and are half as large again. Of either there are four with
 * the same classes: the CPU alone, the same for engines with relaxed SIMD, that with threads, and WebGPU with a CPU to test it
 * against.
 */

import { relaxedSimd } from "wasm-feature-detect";
import type { Work } from "../protocol/load.js";
import type * as encodeGlue from "../wasm/encode-cpu.js";
import type * as trainGlue from "../wasm/train-cpu.js";
import { loadPackaged } from "./packaged-file.js";
import { startThreads, threadCount } from "./threads.js";

export type { ClipModel, Device, Headers, ImageBatch, Opening } from "../wasm/encode-cpu.js";
export type { Augmenter, FitSettings, Pairs, Trainer, Wanted } from "../wasm/train-cpu.js";

/** clip-wasm, instantiated to encode. */
export type EncodingWasm = Omit<typeof encodeGlue, "default" | "initSync">;

/** The same with what trains. */
export type TrainingWasm = Omit<typeof trainGlue, "default" | "initSync">;

/** clip-wasm, by its work. */
export type WasmFor<W extends Work> = W extends "train" ? TrainingWasm : EncodingWasm;

/** A module of it. */
export type WasmModule = `${Work}-${"cpu" | "cpu-relaxed" | "cpu-threads" | "webgpu"}`;

/** Bytes or address of a module. */
export type WasmBinary = BufferSource | URL;

/** An instance, its memory, and how many threads compute in it. */
export interface Core<W extends Work = Work> {
  wasm: WasmFor<W>;
  memory: WebAssembly.Memory;
  threads: number;
}

/** Whether an instance trains. */
export function trains(core: Core): core is Core & { wasm: TrainingWasm } {
  return "Trainer" in core.wasm;
}

/** What the platform must bring along for it. */
export interface RuntimePlatform {
  /** Where a module lies. */
  wasm(module: WasmModule): Promise<WasmBinary>;
  /** A worker that runs `entries/thread.ts`, where there may be threads. */
  thread?(): Worker;
}

/** What the modules' glue has in common. */
type Glue = EncodingWasm & {
  default(options: { module_or_path: WasmBinary | WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
};

type ThreadedGlue = Glue & { Threads: { fill(count: number): void } };

/** The glue of a module with threads; each thread needs it too. */
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

/** Has a module's glue instantiate it. */
export function instantiate<T>(
  module: string,
  module_or_path: WasmBinary,
  init: (options: { module_or_path: WasmBinary }) => Promise<T>,
): Promise<T> {
  const place = module_or_path instanceof URL ? ` at ${module_or_path}` : "";
  return loadPackaged(`module ${module}${place}`, () => init({ module_or_path }));
}

/** What `make` makes, once per worker. */
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
      // whoever asks again may be luckier; threads that failed once are not tried anew, for a page's policy stays
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
  // a page whose policy forbids the threads' workers computes all the same
  if (platform.thread && threadCount() > 1)
    return threaded(work, platform, platform.thread).catch(() => single(`${work}-cpu-relaxed`, platform));
  return single(`${work}-cpu-relaxed`, platform);
}

/** Instantiates the module that does some work on a device, once per worker. */
export function loadWasm<W extends Work>(
  work: W,
  device: "cpu" | "webgpu",
  platform: RuntimePlatform,
): Promise<Core<W>> {
  // a module has what its name says
  return load(work, device, platform) as Promise<Core<W>>;
}
