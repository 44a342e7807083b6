/**
 * The only import of the core's generated glue. The core comes in three modules with the same classes, of which a worker fetches
 * what it computes with: the CPU alone, the same for engines with relaxed SIMD, and WebGPU with a CPU to test it against.
 */

import { relaxedSimd } from "wasm-feature-detect";
import type * as glue from "./wasm/cpu.js";

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
export type WasmModule = "cpu" | "cpu-relaxed" | "webgpu";

/** Bytes or address of a module. */
export type WasmSource = BufferSource | URL;

/** An instance and its memory. */
export interface Core {
  wasm: Wasm;
  memory: WebAssembly.Memory;
}

/** What the modules' glue has in common. */
interface Glue extends Wasm {
  default(options: { module_or_path: WasmSource }): Promise<{ memory: WebAssembly.Memory }>;
}

const GLUE: Record<WasmModule, () => Promise<Glue>> = {
  cpu: () => import("./wasm/cpu.js"),
  "cpu-relaxed": () => import("./wasm/cpu-relaxed.js"),
  webgpu: () => import("./wasm/webgpu.js"),
};

const instances = new Map<WasmModule, Promise<Core>>();

/** Instantiates the module for a device, once per worker; `source` tells where it lies. */
export async function loadWasm(
  device: "cpu" | "webgpu",
  source: (module: WasmModule) => Promise<WasmSource>,
): Promise<Core> {
  const module = device === "cpu" && (await relaxedSimd()) ? "cpu-relaxed" : device;
  const instance =
    instances.get(module) ??
    (async () => {
      const [wasm, module_or_path] = await Promise.all([GLUE[module](), source(module)]);
      const { memory } = await wasm.default({ module_or_path });
      return { wasm, memory };
    })();
  instances.set(module, instance);
  return instance;
}
