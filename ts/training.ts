/** The public API of training, every export by name. What is neither here nor in `encode.ts` is not public. */

export type {
  Adapter,
  Evaluation,
  GradientResult,
  Recall,
  SkippedPair,
  StepEvent,
  ZeroShotAccuracy,
} from "../workers/protocol/train.js";
export type { CaptionTableOptions } from "./data/caption-table.js";
export { captionTable, imageFolder, webDataset } from "./data/datasets.js";
export type { EncodingOptions } from "./data/decode-text.js";
export type { Folder } from "./data/folder.js";
export type { ImageFolderOptions } from "./data/image-folder.js";
export type { ImageTextPair, PairColumns, PairSource, Pairs } from "./data/pairs.js";
export type { ReadableSource } from "./data/readable.js";
export type { CaptionOptions } from "./data/sample.js";
export type { TableColumns } from "./data/table-columns.js";
export type { WebDatasetOptions, WebDatasetSource } from "./data/webdataset.js";
export type { AutosaveOptions } from "./train/autosave.js";
export type { CreateFromCheckpoint, CreateFromConfig, CreateOptions } from "./train/create-options.js";
export type { FitEstimate } from "./train/estimate.js";
export { estimateFit } from "./train/estimate.js";
export type { EvaluateOptions, ZeroShotOptions } from "./train/evaluator.js";
export type { AugmentOptions, FitOptions, LoraOptions, MuonOptions } from "./train/fit-options.js";
export type { FitEvent, Recovery } from "./train/run.js";
export type { EvaluationOptions, RunOptions } from "./train/run-options.js";
export type { ResumeOptions, ResumeTrainerOptions, TensorBatch, TrainStepOptions } from "./train/trainer.js";
export { ClipTrainer } from "./train/trainer.js";
export type { TrainingWarning, TrainingWarningCode } from "./train/training-monitor.js";
export type { StateSource, StateTarget } from "./train/training-state.js";
