/** Chooses and opens the device of a model. */

import { ClipError } from "../protocol/error.js";
import type { DeviceChoice, DeviceInfo, Work } from "../protocol/load.js";
import type { Core, Device } from "./wasm.js";

/** Requests for an adapter: on a busy machine the first one may fail. */
const TRIES = 2;

/** The GPU of each instance: an instance can only open one. */
const gpus = new WeakMap<Core, Promise<Device>>();

/** `undefined` in Node 20 and on insecure pages. */
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

/** A device, and the instance that computes on it. */
export interface OpenedDevice<W extends Work> {
  core: Core<W>;
  device: Device;
  info: DeviceInfo;
}

/**
 * Opens the chosen device. `auto` takes a GPU that is not emulated in software and passes the self-test, otherwise the CPU.
 *
 * @param load instantiates the module for a kind of device
 * @throws ClipError `invalid-option`, or `device-unavailable` if `webgpu` was chosen and there is none
 */
export async function openDevice<W extends Work>(
  choice: DeviceChoice,
  load: (kind: DeviceInfo["kind"]) => Promise<Core<W>>,
): Promise<OpenedDevice<W>> {
  const cpu = async (reason: string): Promise<OpenedDevice<W>> => {
    const core = await load("cpu");
    return { core, device: core.wasm.Device.cpu(), info: { kind: "cpu", reason, threads: core.threads } };
  };
  if (choice === "cpu") return cpu("as requested");
  if (choice !== "auto" && choice !== "webgpu") {
    throw new ClipError("invalid-option", `invalid option device: expected auto, webgpu or cpu, got ${String(choice)}`);
  }
  const adapter = await requestAdapter();
  if (choice === "auto" && !adapter) return cpu("no WebGPU adapter");
  if (choice === "auto" && adapter?.info.isFallbackAdapter) return cpu(`WebGPU is only ${describe(adapter)}`);
  if (!adapter) {
    const reason = webGpu() ? "navigator.gpu has no adapter" : "there is no navigator.gpu";
    throw new ClipError("device-unavailable", `no WebGPU device: ${reason}; choose the device "auto" or "cpu"`);
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
    // `webgpu` means this GPU, whatever it computes; `auto` means one that computes correctly
    if (choice === "auto") await device.selfTest();
    const maxTensorBytes = Math.min(adapter.limits.maxStorageBufferBindingSize, adapter.limits.maxBufferSize);
    return { core, device, info: { kind: "webgpu", reason: describe(adapter), maxTensorBytes } };
  } catch (error) {
    if (choice === "auto") return cpu(`WebGPU failed: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}
