/** The public API: every export by name. What is not here is not public. */

export type { ExportedFile, MemoryInfo } from "../workers/protocol/api.js";
export type { Bytes, MemoryBytes, OwnBytes } from "../workers/protocol/bytes.js";
export type {
  Activation,
  CheckpointLayout,
  ClipConfig,
  MciConfig,
  PreprocessConfig,
  ResNetConfig,
  TextConfig,
  TextPooling,
  TokenizerReference,
  TowerConfig,
  Towers,
  VisionConfig,
  VitConfig,
} from "../workers/protocol/config.js";
export type { Matrix } from "../workers/protocol/encode.js";
export type { ClipErrorCode } from "../workers/protocol/error.js";
export { ClipError, isClipError } from "../workers/protocol/error.js";
export type { CachedModel, DeviceChoice, DeviceInfo, LoadProgress, ModelInfo } from "../workers/protocol/load.js";
export type { PlatformClass } from "../workers/protocol/platform-class.js";
export type {
  Adapter,
  Evaluation,
  GradientResult,
  Recall,
  SkippedPair,
  StepEvent,
  ZeroShotAccuracy,
} from "../workers/protocol/train.js";
export type { Classifier, ClassifyOptions, Prediction } from "./classify/classifier.js";
export type { ProbeOptions } from "./classify/linear-probe.js";
export { LinearProbe } from "./classify/linear-probe.js";
export { TEMPLATES } from "./classify/templates.js";
export type { LabelOptions, Template } from "./classify/zero-shot.js";
export { ZeroShotClassifier } from "./classify/zero-shot.js";
export type { ModelCache } from "./clip.js";
export { Clip } from "./clip.js";
export type { Addresses, FileAddresses } from "./configure.js";
export { configure } from "./configure.js";
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
export type { Embeddings, Match, TopKOptions } from "./encode/embeddings.js";
export { rowSimilarities, topK } from "./encode/embeddings.js";
export type { BadImage, EncodedImage, EncodeImagesOptions } from "./encode/encode-each.js";
export type { Logits } from "./encode/logits.js";
export type { CheckpointParts } from "./inputs/checkpoint-parts.js";
export type { DrawnImage, ImageInput, ImagesInput, PixelInput } from "./inputs/images.js";
export type { RawImage } from "./inputs/raw-image.js";
export type { ClipSource, ServerOptions } from "./inputs/sources.js";
export type { TextsInput, TokenInput } from "./inputs/texts.js";
export type { Encoder, EncodeTextOptions } from "./model/encoder.js";
export type { LoadOptions } from "./model/load.js";
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
