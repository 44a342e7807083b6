/** Configurations of models and of their transforms. */

/** Non-linearity of the MLPs: OpenAI's models use `quick_gelu`, newer ones `gelu`, SigLIP `gelu_tanh`. */
export type Activation = "quick_gelu" | "gelu" | "gelu_tanh";

/** What both towers have. */
export interface TowerConfig {
  /** Width of the residual stream. */
  width: number;
  layers: number;
  /** Attention heads; divides `width`. */
  heads: number;
  /** Width of the MLP's hidden layer. @default 4 × width */
  mlpWidth?: number;
  /** @default "quick_gelu" */
  activation?: Activation;
  /** @default 1e-5 */
  layerNormEps?: number;
}

/** A Vision Transformer: CLIP's, or SigLIP's without class token and with attention pooling. */
export interface VitConfig extends TowerConfig {
  /** @default "vit" */
  architecture?: "vit" | "siglip";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Side of a patch. */
  patchSize: number;
}

/** CLIP's ResNet. It encodes; it is not trained here. */
export interface ResNetConfig {
  architecture: "resnet";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Channels of the first stage. */
  width: number;
  /** Blocks of each stage. */
  layers: [number, number, number, number];
  /** Heads of the attention pooling. */
  heads: number;
}

/** MobileCLIP's image towers. They encode; they are not trained here. */
export interface MciConfig {
  architecture: "mci";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Blocks of each stage. */
  layers: number[];
  /** Channels of each stage. */
  widths: number[];
  /** Width of the MLPs over that of the stage. */
  mlpRatio: number;
  /** How many of the last stages attend. */
  attentionStages: number;
  /** How many of the last stages are entered by a squeeze-and-excite. */
  squeezeStages: number;
  /** Whether attention follows a layer norm, and not a batch norm. @default false */
  layerNorm?: boolean;
  /** Whether the stem has branches of one pixel. @default true */
  stemScale?: boolean;
}

/** Image tower. */
export type VisionConfig = VitConfig | ResNetConfig | MciConfig;

/** Text tower: a Transformer, causal in CLIP. */
export interface TextConfig extends TowerConfig {
  /** Tokens of a caption, start and end included. */
  contextLength: number;
  /** Left out: cut to the tokens of the captions of the first `fit`. Otherwise the size of the tokenizer's vocabulary. */
  vocabSize?: number;
  /**
   * Which token stands for the caption: the first of the highest id, the first of a given id, or the last of the
   * context. @default "argmax"
   */
  pooling?: "argmax" | "last" | { first_of: number };
  /** Whether a token sees only those before it. @default true */
  causal?: boolean;
  /** Whether the projection has a bias. @default false */
  projectionBias?: boolean;
}

/** Shape of a CLIP. */
export interface ClipConfig {
  /** Width of the space that images and captions share. */
  embedDim: number;
  /** What similarities become: a choice among all (CLIP), or a judgement on each (SigLIP). @default "softmax" */
  objective?: "softmax" | "sigmoid";
  vision: VisionConfig;
  text: TextConfig;
}

/** How images become pixels. */
export interface PreprocessConfig {
  /** Side of the output. */
  size: number;
  /** Side resized to, before the crop. */
  resize: number;
  mode: "shortest" | "squash" | "longest";
  filter: "bicubic" | "bilinear";
  /** Whose rounding of half a pixel. */
  crop: "torchvision" | "hf";
  /** Level that `longest` fills with. */
  fill: number;
  mean: [number, number, number];
  std: [number, number, number];
}

/** Whose tokenization is given where the references differ. */
export type TokenizerReference = "open_clip" | "openai" | "hf" | "hf_normalized";

/** Which towers a model is loaded with. */
export type Towers = "both" | "image" | "text";

/** Naming scheme of a checkpoint. */
export type CheckpointLayout = "hf" | "open_clip";
