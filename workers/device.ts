/** Which device a model gets. */

import { ClipError } from "./error.js";
import type { DeviceChoice, DeviceInfo } from "./protocol.js";
import type { Device, Wasm } from "./wasm.js";

/** Under load the first request for an adapter was seen to fail once. */
const TRIES = 2;

let webgpu: Promise<Device> | undefined;

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

/** The device asked for; for `auto` a GPU that is one and computes as the CPU does, or else the CPU. */
export async function openDevice(choice: DeviceChoice, wasm: Wasm): Promise<{ device: Device; info: DeviceInfo }> {
  const cpu = (reason: string) => ({ device: wasm.Device.cpu(), info: { kind: "cpu" as const, reason } });
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
    // one device per instance of the module: a second initialisation is an error
    webgpu ??= wasm.Device.webgpu().catch((error) => {
      webgpu = undefined;
      throw error;
    });
    const device = await webgpu;
    // who asked for this GPU gets it; who left the choice to us gets one that computes rightly
    if (choice === "auto") await device.selfTest();
    const maxTensorBytes = Math.min(adapter.limits.maxStorageBufferBindingSize, adapter.limits.maxBufferSize);
    return { device, info: { kind: "webgpu", reason: describe(adapter), maxTensorBytes } };
  } catch (error) {
    if (choice === "auto") return cpu(`WebGPU failed: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}
