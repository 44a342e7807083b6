/** What the core needs of the engine that runs it. */

import { simd } from "wasm-feature-detect";
import { ClipError } from "../protocol/error.js";

const unsupported = (lack: string, advice: string) =>
  new ClipError("platform-unsupported", `the model runs in WebAssembly, and this engine ${lack}: ${advice}`);

/** @throws ClipError `platform-unsupported` for an engine without WebAssembly or its SIMD */
export async function checkEngine(): Promise<void> {
  if (typeof WebAssembly === "undefined")
    throw unsupported("has none", "switch it on, as by leaving Safari's Lockdown Mode or node's --jitless");
  if (!(await simd()))
    throw unsupported("lacks SIMD in it", "use Chrome 91, Firefox 89, Safari 16.4, Node 20 or newer");
}
