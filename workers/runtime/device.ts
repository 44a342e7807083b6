/** Which device a model gets. */

import { ClipError } from "../protocol/error.js";
import type { DeviceChoice, DeviceInfo, Work } from "../protocol/load.js";
import type { Core, Device } from "./wasm.js";

/** Under load the first request for an adapter was seen to fail once. */
const TRIES = 2;

/** One device per instance of a module: a second initialisation is an error. */
const gpus = new WeakMap<Core, Promise<Device>>();

/** Neither Node 20 nor an insecure page has one. */
function webGpu(): GPU | undefined {
  return (globalThis.navigator as Navigator | undefined)?.gpu;
}

async function requestAdapter(): Promise<GPUAdapter | undefined> {
  for (let i = 0; i < TRIES; i++) {
    const adapter = await webGpu()?.requestAdapter({ powerPreference: "high-performance" });
    if (adapter) return adapter;
  }
  return undefined;
}

function describe({ info }: GPUAdapter): string {
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || "unnamed adapter";
  return info.isFallbackAdapter ? `${name} (software)` : name;
}

/** A device, and the module that computes with it. */
export interface Opened<W extends Work> {
  core: Core<W>;
  device: Device;
  info: DeviceInfo;
}

/**
 * The device asked for; for `auto` a GPU that is one and computes as the CPU does, or else the CPU. `load` gives the module for a
 * kind of device.
 */
export async function openDevice<W extends Work>(
  choice: DeviceChoice,
  load: (kind: DeviceInfo["kind"]) => Promise<Core<W>>,
): Promise<Opened<W>> {
  const cpu = async (reason: string): Promise<Opened<W>> => {
    const core = await load("cpu");
    return { core, device: core.wasm.Device.cpu(), info: { kind: "cpu", reason, threads: core.threads } };
  };
  if (choice === "cpu") return cpu("as asked for");
  if (choice !== "auto" && choice !== "webgpu") {
    throw new ClipError("invalid-option", `invalid option device: expected auto, webgpu or cpu, got ${String(choice)}`);
  }
  const adapter = await requestAdapter();
  if (choice === "auto" && !adapter) return cpu("no WebGPU adapter");
  if (choice === "auto" && adapter?.info.isFallbackAdapter) return cpu(`WebGPU is only ${describe(adapter)}`);
  if (!adapter) {
    const got = webGpu() ? "navigator.gpu without an adapter" : "no navigator.gpu";
    throw new ClipError("device-unavailable", `no webgpu device: expected a WebGPU adapter, got ${got}`);
  }
  try {
    const core = await load("webgpu");
    const opening =
      gpus.get(core) ??
      core.wasm.Device.webgpu().catch((error) => {
        gpus.delete(core);
        throw error;
      });
    gpus.set(core, opening);
    const device = await opening;
    // who asked for this GPU gets it; who left the choice to us gets one that computes rightly
    if (choice === "auto") await device.selfTest();
    const maxTensorBytes = Math.min(adapter.limits.maxStorageBufferBindingSize, adapter.limits.maxBufferSize);
    return { core, device, info: { kind: "webgpu", reason: describe(adapter), maxTensorBytes } };
  } catch (error) {
    if (choice === "auto") return cpu(`WebGPU failed: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}
