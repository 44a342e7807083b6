/**
 * The imports of the core's generated glue. The core comes in four modules with the same classes, of which a worker fetches
 * what it computes with: the CPU alone, the same for engines with relaxed SIMD, that with threads, and WebGPU with a CPU to test
 * it against.
 */

import { relaxedSimd } from "wasm-feature-detect";
import { startThreads, threadCount } from "./threads.js";
import type * as glue from "./wasm/cpu.js";
import type * as threadedGlue from "./wasm/cpu-threads.js";

export type {
  Augmenter,
  ClipModel,
  Device,
  FitSettings,
  Headers,
  Opening,
  Pairs,
  Trainer,
  Wanted,
} from "./wasm/cpu.js";

/** clip-wasm, instantiated. */
export type Wasm = Omit<typeof glue, "default" | "initSync">;

/** A module of it. */
export type WasmModule = "cpu" | "cpu-relaxed" | "cpu-threads" | "webgpu";

/** Bytes or address of a module. */
export type WasmSource = BufferSource | URL;

/** An instance, its memory, and how many threads compute in it. */
export interface Core {
  wasm: Wasm;
  memory: WebAssembly.Memory;
  threads: number;
}

/** What the platform must bring along for it. */
export interface WasmAssets {
  /** Where a module lies. */
  wasm(module: WasmModule): Promise<WasmSource>;
  /** A worker that runs `thread.worker.ts`, where there may be threads. */
  thread?(): Worker;
}

/** What the modules' glue has in common. */
interface Glue extends Wasm {
  default(options: { module_or_path: WasmSource | WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
}

type Single = Exclude<WasmModule, "cpu-threads">;

const GLUE: Record<Single, () => Promise<Glue>> = {
  cpu: () => import("./wasm/cpu.js"),
  "cpu-relaxed": () => import("./wasm/cpu-relaxed.js"),
  webgpu: () => import("./wasm/webgpu.js"),
};

const instances = new Map<WasmModule, Promise<Core>>();

/** What `make` makes, once per worker. */
function once(module: WasmModule, make: () => Promise<Core>): Promise<Core> {
  const instance = instances.get(module) ?? make();
  instances.set(module, instance);
  return instance;
}

const single = (module: Single, assets: WasmAssets): Promise<Core> =>
  once(module, async () => {
    const [wasm, module_or_path] = await Promise.all([GLUE[module](), assets.wasm(module)]);
    const { memory } = await wasm.default({ module_or_path });
    return { wasm, memory, threads: 1 };
  });

const threaded = (assets: WasmAssets, start: () => Worker): Promise<Core> =>
  once("cpu-threads", async () => {
    const source = await assets.wasm("cpu-threads");
    const [wasm, module]: [typeof threadedGlue, WebAssembly.Module] = await Promise.all([
      import("./wasm/cpu-threads.js"),
      source instanceof URL ? WebAssembly.compileStreaming(fetch(source)) : WebAssembly.compile(source),
    ]);
    const { memory } = await wasm.default({ module_or_path: module });
    return { wasm, memory, threads: await startThreads(start, wasm.Threads, module, memory) };
  });

/** Instantiates the module for a device, once per worker. */
export async function loadWasm(device: "cpu" | "webgpu", assets: WasmAssets): Promise<Core> {
  if (device === "webgpu") return single("webgpu", assets);
  if (!(await relaxedSimd())) return single("cpu", assets);
  // a page whose policy forbids the threads' workers computes all the same
  if (assets.thread && threadCount() > 1)
    return threaded(assets, assets.thread).catch(() => single("cpu-relaxed", assets));
  return single("cpu-relaxed", assets);
}
