/**
 * Instantiates the core's modules. There are ten: two sorts of work times five targets. A worker has those of one sort, and fetches
 * one of them.
 *
 * - `encode` only encodes; `train` can do both, and is half as large again.
 * - `cpu`; `cpu-relaxed` for engines with relaxed SIMD; with threads `cpu-threads`, which needs relaxed SIMD, and `cpu-threads-plain`;
 *   `webgpu` with a CPU for the self-test. All have the same classes.
 */

import { relaxedSimd } from "wasm-feature-detect";
import type { Work } from "../protocol/load.js";
import type * as encodeGlue from "../wasm/encode-cpu.js";
import type * as trainGlue from "../wasm/train-cpu.js";
import { checkEngine } from "./engine.js";
import { loadPackaged, packagedUrl } from "./packaged-file.js";
import { joinThreads, startThreads, threadCount } from "./threads.js";

export type { ClipModel, Device, Headers, ImageBatch, ModelLoader } from "../wasm/encode-cpu.js";
export type { Augmenter, ImageRequest, Pairs, TrainingSession } from "../wasm/train-cpu.js";

/** Classes of a module that encodes. */
export type EncodingWasm = Omit<typeof encodeGlue, "default" | "initSync">;

/** Classes of a module that also trains. */
type TrainingWasm = Omit<typeof trainGlue, "default" | "initSync">;

/** Classes of a module, by its work. */
export type WasmFor<W extends Work> = W extends "train" ? TrainingWasm : EncodingWasm;

/** What a module with threads computes on. */
type ThreadedTarget = "cpu-threads" | "cpu-threads-plain";

/** What a module computes on. */
type Target = "cpu" | "cpu-relaxed" | ThreadedTarget | "webgpu";

/** A module as bytes, or its URL. */
export type WasmBinary = BufferSource | URL;

/** The generated glue of a module. */
type Glue<W extends Work> = WasmFor<W> & {
  default(options: { module_or_path: WasmBinary | WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
};

type ThreadedGlue<W extends Work> = Glue<W> & { Threads: { fill(count: number): void } };

/** A module: its glue, and where it lies. */
interface WasmModule<G> {
  glue: G;
  url(): URL;
}

/** The modules for one sort of work. */
export type WasmModules<W extends Work = Work> = { work: W } & Record<
  Exclude<Target, ThreadedTarget>,
  WasmModule<Glue<W>>
> &
  Record<ThreadedTarget, WasmModule<ThreadedGlue<W>>>;

/** An instance of a module. */
export interface Core<W extends Work = Work> {
  /** Its classes. */
  wasm: WasmFor<W>;
  memory: WebAssembly.Memory;
  /** Number of threads that compute, at least 1. */
  threads: number;
  /** For the user: why there are no threads, although the page may have them. */
  warning?: string;
}

/** What the modules need from the platform, a browser or Node. */
export interface RuntimePlatform<W extends Work = Work> {
  /** The modules that this worker can instantiate. */
  modules: WasmModules<W>;
  /** Returns a module's bytes, or the URL to fetch them from. */
  binary(url: URL): Promise<WasmBinary>;
  /** Starts a worker that runs `entries/thread.ts`; only browsers have it. */
  thread?(): Worker;
}

const instances = new Map<Target, Promise<Core>>();

/** Runs a glue's `init` on its module. */
export function instantiate<T>(
  module: string,
  module_or_path: WasmBinary,
  init: (options: { module_or_path: WasmBinary }) => Promise<T>,
): Promise<T> {
  const place = module_or_path instanceof URL ? ` at ${module_or_path}` : "";
  return loadPackaged(`module ${module}${place}`, () => init({ module_or_path }));
}

/** Runs `make` once per worker: it has the modules of one sort of work. */
function once<W extends Work>(target: Target, make: () => Promise<Core<W>>): Promise<Core<W>> {
  const instance = (instances.get(target) as Promise<Core<W>> | undefined) ?? make();
  instances.set(target, instance);
  return instance;
}

const single = <W extends Work>(
  target: Exclude<Target, ThreadedTarget>,
  { modules, binary }: RuntimePlatform<W>,
): Promise<Core<W>> =>
  once(target, async () => {
    try {
      const { glue, url } = modules[target];
      const name = `${modules.work}-${target}`;
      const module_or_path = await loadPackaged(`module ${name}`, () =>
        binary(packagedUrl("wasmUrl", `${name}_bg.wasm`, url)),
      );
      const { memory } = await instantiate(name, module_or_path, glue.default);
      return { wasm: glue, memory, threads: 1 };
    } catch (error) {
      // the next call tries again: a network may recover. Threads are not tried again: a page's policy does not change
      instances.delete(target);
      throw error;
    }
  });

const threaded = <W extends Work>(
  target: ThreadedTarget,
  { modules, binary }: RuntimePlatform<W>,
  start: () => Worker,
): Promise<Core<W>> =>
  once(target, async () => {
    const { glue, url } = modules[target];
    const name = `${modules.work}-${target}` as const;
    const workers = await startThreads(start);
    try {
      const source = await binary(packagedUrl("wasmUrl", `${name}_bg.wasm`, url));
      const module = await (source instanceof URL
        ? WebAssembly.compileStreaming(fetch(source))
        : WebAssembly.compile(source));
      const { memory } = await glue.default({ module_or_path: module });
      const threads = await joinThreads(workers, glue.Threads, { name, module, memory });
      return { wasm: glue, memory, threads };
    } catch (error) {
      for (const worker of workers) worker.terminate();
      throw error;
    }
  });

/** Instantiates the module for a device, once per worker. */
export async function loadWasm<W extends Work>(
  device: "cpu" | "webgpu",
  platform: RuntimePlatform<W>,
): Promise<Core<W>> {
  await checkEngine();
  if (device === "webgpu") return single("webgpu", platform);
  const relaxed = await relaxedSimd();
  const alone = () => single(relaxed ? "cpu-relaxed" : "cpu", platform);
  if (!platform.thread || threadCount() === 1) return alone();
  try {
    return await threaded(relaxed ? "cpu-threads" : "cpu-threads-plain", platform, platform.thread);
  } catch (error) {
    const { message } = error as Error;
    return { ...(await alone()), warning: `the CPU computes on one thread, for others do not start: ${message}` };
  }
}
