/** Finds an adapter's files in a source and adds them to a model. */

import { ClipError } from "../protocol/error.js";
import type { AdapterFile } from "../protocol/load.js";
import type { ClipModel } from "../runtime/wasm.js";
import { findModel, isAdapter } from "./sources/find-model.js";
import { readAll, type Source } from "./sources/source.js";
import { checkWeights, TELLING_BYTES } from "./sources/text.js";

const WEIGHTS: AdapterFile = "adapter_model.safetensors";
const CONFIG: AdapterFile = "adapter_config.json";

/** Adds an adapter; the model is what it was where that is refused. */
export async function mergeAdapter(model: ClipModel, place: Source): Promise<void> {
  const source = await findModel(place, isAdapter);
  const config = await source.text(CONFIG);
  const weights = await source.open(source.only ?? WEIGHTS);
  if (config === undefined || !weights) {
    const missing = config === undefined ? CONFIG : WEIGHTS;
    const names = await source.list();
    const pickle = names?.includes("adapter_model.bin") ? "; adapter_model.bin is a pickle, which can run code" : "";
    throw new ClipError("invalid-source", `${source.label}: expected ${missing}, got none${pickle}`);
  }
  const bytes = await readAll(weights);
  checkWeights(weights.name, bytes.subarray(0, TELLING_BYTES));
  model.mergeAdapter(bytes, config);
}
