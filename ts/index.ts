/** The public API: every export by name. What is not here is not public. */

export type { Bytes } from "../workers/bytes.js";
export type { ClipErrorCode } from "../workers/error.js";
export { ClipError, isClipError } from "../workers/error.js";
export type {
  Activation,
  Adapter,
  CachedModel,
  CheckpointLayout,
  ClipConfig,
  DeviceChoice,
  DeviceInfo,
  Evaluation,
  ExportedFile,
  GradientResult,
  LoadProgress,
  MciConfig,
  MemoryInfo,
  ModelInfo,
  PreprocessConfig,
  Recall,
  ResNetConfig,
  SkippedPair,
  StepEvent,
  TextConfig,
  TokenizerReference,
  TowerConfig,
  Towers,
  VisionConfig,
  VitConfig,
} from "../workers/protocol.js";
export type { AutosaveOptions } from "./autosave.js";
export type { CheckpointParts } from "./checkpoint-parts.js";
export type { ClassifyOptions, Prediction } from "./classifier.js";
export type { EncodeTextOptions, LoadOptions, Logits } from "./clip.js";
export { Clip } from "./clip.js";
export type { CaptionTableOptions } from "./data/caption-table.js";
export { captionTable } from "./data/caption-table.js";
export type { EncodingOptions } from "./data/decode-text.js";
export type { Folder } from "./data/files.js";
export type { ImageFolderOptions } from "./data/image-folder.js";
export { imageFolder } from "./data/image-folder.js";
export type { ImageTextPair, PairColumns, PairSource, Pairs } from "./data/pairs.js";
export type { ReadableSource } from "./data/readable.js";
export type { CaptionOptions } from "./data/sample.js";
export type { TableColumns } from "./data/table-columns.js";
export type { WebDatasetOptions, WebDatasetSource } from "./data/webdataset.js";
export { webDataset } from "./data/webdataset.js";
export type { Embeddings, TopKOptions } from "./embeddings.js";
export { rowSimilarities, topK } from "./embeddings.js";
export type { BadImage, EncodedImage, EncodeImagesOptions } from "./encode-each.js";
export type { FitEstimate } from "./estimate.js";
export { estimateFit } from "./estimate.js";
export type { DrawnImage, ImageInput, PixelInput } from "./images.js";
export type { EvaluateOptions, ZeroShotOptions } from "./judge.js";
export type { ProbeOptions } from "./linear-probe.js";
export { LinearProbe } from "./linear-probe.js";
export type { RawImage } from "./raw-image.js";
export type { EvaluationOptions, FitEvent, Recovery, RunOptions } from "./run.js";
export type { ClipSource, ServerOptions } from "./sources.js";
export { TEMPLATES } from "./templates.js";
export type { TokenInput } from "./texts.js";
export type { CreateOptions, FitOptions, ResumeOptions, ResumeTrainerOptions } from "./trainer.js";
export { ClipTrainer } from "./trainer.js";
export type { StateSource, StateTarget } from "./training-state.js";
export type { TrainingWarning, TrainingWarningCode } from "./training-watch.js";
export type { LabelOptions, Template } from "./zero-shot.js";
export { ZeroShotClassifier } from "./zero-shot.js";
