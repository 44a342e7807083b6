/** What the form says, as the library takes it. */

import type { ClipConfig, CreateOptions, DeviceChoice, FitOptions, RunOptions } from "clipwright";
import { recipe, config as tiny } from "../emoji/config.mjs";

/** Where the states of a run are kept, in the origin's private file system. */
export const FOLDER = "clipwright-train";

const small: ClipConfig = {
  embedDim: 256,
  vision: { imageSize: 96, patchSize: 16, width: 256, layers: 6, heads: 4 },
  text: { contextLength: 32, width: 256, layers: 4, heads: 4 },
};

/** How the trainer is made; nothing while a checkpoint is wanted and none is picked. */
export function createOptions(data: FormData, checkpoint: readonly File[]): CreateOptions | undefined {
  const device = data.get("device") as DeviceChoice;
  const model = data.get("model");
  if (model === "checkpoint") return checkpoint.length > 0 ? { from: checkpoint, device } : undefined;
  return { config: model === "small" ? small : tiny, device, seed: 1 };
}

/** What a run is asked for anew when it is gone on with; its settings are its own. */
export function runOptions(data: FormData): RunOptions {
  return { autosave: { to: FOLDER, seconds: Number(data.get("seconds")) }, badPairs: "skip", truncate: true };
}

/** How it is trained, but for what it is judged by. */
export function fitOptions(data: FormData): FitOptions {
  const number = (name: string) => Number(data.get(name));
  const learns: Record<string, FitOptions> = {
    lora: { lora: { rank: 8, alpha: 16 } },
    last: { lastBlocks: 2 },
    lock: { lock: "image" },
  };
  const { muon, ...adamw } = recipe;
  const lr = number("lr");
  return {
    ...adamw,
    // Muon's rate keeps its proportion
    ...(data.get("optimizer") === "muon" && { muon: { ...muon, lr: (muon.lr * lr) / recipe.lr } }),
    ...learns[String(data.get("learns"))],
    lr,
    epochs: number("epochs"),
    batchSize: number("batchSize"),
    ...(data.get("augment") && { augment: {} }),
    ...(data.get("microBatchSize") && { microBatchSize: number("microBatchSize") }),
    ...runOptions(data),
  };
}
