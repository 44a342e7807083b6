/** Chooses and opens the device of a model. */

import { ClipError, toClipError } from "../protocol/error.js";
import type { DeviceChoice, DeviceInfo, Work } from "../protocol/load.js";
import { type GpuPlatform, noWebGpu } from "./gpu.js";
import type { Core, Device } from "./wasm.js";

/** Requests for an adapter: on a busy machine the first one may fail. */
const TRIES = 2;

/** The GPU of each instance: an instance can only open one. */
const gpus = new WeakMap<Core, Promise<Device>>();

async function requestAdapter(gpu: GPU): Promise<GPUAdapter> {
  const advice = "check the GPU and its driver";
  try {
    for (let i = 0; i < TRIES; i++) {
      const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
      if (adapter) return adapter;
    }
  } catch (error) {
    throw noWebGpu(`no adapter can be requested (${toClipError(error).message})`, advice, error);
  }
  throw noWebGpu("no adapter was found", advice);
}

/** Names of rasterisers: Deno 2.6 and older implementations do not report them by `isFallbackAdapter`. */
const RASTERISERS = /swiftshader|llvmpipe|lavapipe|softpipe|basic render|\bwarp\b/i;

function isSoftware({ description, device, architecture, isFallbackAdapter }: GPUAdapterInfo): boolean {
  return isFallbackAdapter || RASTERISERS.test(`${description} ${device} ${architecture}`);
}

function describe({ info }: GPUAdapter): string {
  const name = info.description || [info.vendor, info.architecture].filter(Boolean).join(" ") || "unnamed adapter";
  return isSoftware(info) ? `${name} (software)` : name;
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
  platform: GpuPlatform,
): Promise<OpenedDevice<W>> {
  const cpu = async (reason: string): Promise<OpenedDevice<W>> => {
    const core = await load("cpu");
    return { core, device: core.wasm.Device.cpu(), info: { kind: "cpu", reason, threads: core.threads } };
  };
  if (choice === "cpu") return cpu("as requested");
  if (choice !== "auto" && choice !== "webgpu") {
    throw new ClipError("invalid-option", `invalid option device: expected auto, webgpu or cpu, got ${String(choice)}`);
  }
  try {
    const adapter = await requestAdapter(await platform.gpu());
    if (choice === "auto" && isSoftware(adapter.info))
      throw new ClipError("device-unavailable", `WebGPU is only ${describe(adapter)}`);
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
    if (choice === "webgpu") throw error;
    const { code, message } = toClipError(error);
    return cpu(code === "device-unavailable" ? message : `WebGPU failed: ${message}`);
  }
}
