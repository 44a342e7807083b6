/** Loads an adapter. */

import { ClipError } from "../protocol/error.js";
import type { AdapterFile } from "../protocol/load.js";
import type { ClipModel } from "../runtime/wasm.js";
import { checkSafetensors } from "./sources/content.js";
import { findModel, isAdapter } from "./sources/find-model.js";
import { readAll, type Source } from "./sources/source.js";

const WEIGHTS: AdapterFile = "adapter_model.safetensors";
const CONFIG: AdapterFile = "adapter_config.json";

/** Adds an adapter's update to the weights. If it is refused, the model stays as it was. */
export async function mergeAdapter(model: ClipModel, parent: Source): Promise<void> {
  const source = await findModel(parent, isAdapter);
  const config = await source.text(CONFIG);
  const weights = await source.open(source.only ?? WEIGHTS);
  if (config === undefined || !weights) {
    if (source.refusal) throw source.refusal;
    const missing = config === undefined ? CONFIG : WEIGHTS;
    const names = await source.list();
    const isPickle = names?.includes("adapter_model.bin");
    const hint = isPickle ? "; adapter_model.bin is a pickle, which can run code: convert it to safetensors" : "";
    throw new ClipError("invalid-source", `${source.label}: ${missing} is missing${hint}`);
  }
  const bytes = await readAll(weights);
  checkSafetensors(weights.name, bytes);
  model.mergeAdapter(bytes, config);
}
