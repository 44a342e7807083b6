/** Finds an adapter's files in a source and adds them to a model. */

import { ClipError } from "./error.js";
import type { AdapterFile } from "./protocol.js";
import { readAll, type Source } from "./sources/source.js";
import type { ClipModel } from "./wasm.js";

const WEIGHTS: AdapterFile = "adapter_model.safetensors";
const CONFIG: AdapterFile = "adapter_config.json";

/** Adds an adapter; the model is what it was where that is refused. */
export async function mergeAdapter(model: ClipModel, source: Source): Promise<void> {
  const config = await source.text(CONFIG);
  const weights = await source.open(source.only ?? WEIGHTS);
  if (config === undefined || !weights) {
    const missing = config === undefined ? CONFIG : WEIGHTS;
    const names = await source.list();
    const pickle = names?.includes("adapter_model.bin") ? "; adapter_model.bin is a pickle, which can run code" : "";
    throw new ClipError("invalid-source", `${source.label}: expected ${missing}, got none${pickle}`);
  }
  model.mergeAdapter(await readAll(weights), config);
}
