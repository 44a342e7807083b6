/**
 * `clipwright/encode`: the public API without training, every export by name. Bundlers deploy every worker and module that a file names, used
 * or not: an app that imports this file does without those that train.
 */

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
