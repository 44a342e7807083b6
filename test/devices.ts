/** The devices that a test runs on. Not in `support.ts`, which pages without Vitest use, too. */

import type { DeviceChoice } from "clipwright";
import { inject } from "vitest";

declare module "vitest" {
  export interface ProvidedContext {
    /** Whether the browser must have WebGPU. */
    webgpu: boolean;
  }
}

/** Devices that must work here. A browser that should have WebGPU and has not fails the tests. */
export const devices: Exclude<DeviceChoice, "auto">[] = inject("webgpu") ? ["cpu", "webgpu"] : ["cpu"];
