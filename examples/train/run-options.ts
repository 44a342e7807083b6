/** Turns the form into the library's options. */

import type { ClipConfig, CreateOptions, DeviceChoice, FitOptions, RunOptions } from "clipwright";
import { recipe, config as tiny } from "../emoji/config.mjs";

/** Folder of a run's states in the origin's private file system. */
export const FOLDER = "clipwright-train";

const small: ClipConfig = {
  embedDim: 256,
  vision: { imageSize: 96, patchSize: 16, width: 256, layers: 6, heads: 4 },
  text: { contextLength: 32, width: 256, layers: 4, heads: 4 },
};

/** Options of `ClipTrainer.create`; undefined while no checkpoint is picked. */
export function createOptions(data: FormData, checkpoint: readonly File[]): CreateOptions | undefined {
  const device = data.get("device") as DeviceChoice;
  const model = data.get("model");
  if (model === "checkpoint") return checkpoint.length > 0 ? { from: checkpoint, device } : undefined;
  return { config: model === "small" ? small : tiny, device, seed: 1 };
}

/** Options that a resumed run takes, too; its other settings are in its state. */
export function runOptions(data: FormData): RunOptions {
  return { autosave: { to: FOLDER, seconds: Number(data.get("seconds")) }, badPairs: "skip", truncate: true };
}

/** Options of `fit`, without the evaluation. */
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
    // Muon's rate scales with AdamW's
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
