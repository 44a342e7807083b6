/** Configs of models and of their transforms. */

/** Non-linearity of the MLPs: OpenAI's models use `quick_gelu`, newer ones `gelu`, SigLIP `gelu_tanh`. */
export type Activation = "quick_gelu" | "gelu" | "gelu_tanh";

/** Keys that both towers have. */
export interface TowerConfig {
  /** Width of the residual stream. */
  width: number;
  /** Number of blocks. */
  layers: number;
  /** Attention heads; divides `width`. */
  heads: number;
  /** Width of the MLP's hidden layer. @default 4 × width */
  mlpWidth?: number;
  /** Non-linearity of the MLPs. @default "quick_gelu" */
  activation?: Activation;
  /** Added to the variance in layer norms. @default 1e-5 */
  layerNormEps?: number;
}

/** A Vision Transformer: CLIP's, or SigLIP's, which has attention pooling and no class token. */
export interface VitConfig extends TowerConfig {
  /** CLIP's Vision Transformer, or SigLIP's. @default "vit" */
  architecture?: "vit" | "siglip";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Side of a patch, in pixels. */
  patchSize: number;
}

/** CLIP's ResNet; it cannot be trained. */
export interface ResNetConfig {
  /** Discriminates the architectures. */
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

/** MobileCLIP's image towers; they cannot be trained. */
export interface MciConfig {
  /** Discriminates the architectures. */
  architecture: "mci";
  /** Side of the square input, in pixels. */
  imageSize: number;
  /** Blocks of each stage. */
  layers: number[];
  /** Channels of each stage. */
  widths: number[];
  /** Width of the MLPs relative to that of the stage. */
  mlpRatio: number;
  /** Number of last stages with attention. */
  attentionStages: number;
  /** Number of last stages that begin with squeeze-and-excitation. */
  squeezeStages: number;
  /** Whether attention follows a layer norm instead of a batch norm. @default false */
  layerNorm?: boolean;
  /** Whether the stem has 1×1 branches. @default true */
  stemScale?: boolean;
}

/** Image tower. */
export type VisionConfig = VitConfig | ResNetConfig | MciConfig;

/** The token whose output becomes the embedding: the first with the highest id (`argmax`), or the last of the context. */
export type TextPooling =
  | "argmax"
  | "last"
  | {
      /** The first token with this id. */
      first_of: number;
    };

/** Text tower: a Transformer, causal in CLIP. */
export interface TextConfig extends TowerConfig {
  /** Tokens of a text, start and end included. */
  contextLength: number;
  /** Size of the tokenizer's vocabulary. If left out, the vocabulary is cut to the captions of the first `fit`. */
  vocabSize?: number;
  /** The token whose output becomes the embedding. @default "argmax" */
  pooling?: TextPooling;
  /** Whether a token attends only to those before it. @default true */
  causal?: boolean;
  /** Whether the projection has a bias. @default false */
  projectionBias?: boolean;
}

/** Config of a CLIP. */
export interface ClipConfig {
  /** Width of the embeddings. */
  embedDim: number;
  /** How similarities become probabilities: softmax over the texts (CLIP), or sigmoid of each (SigLIP). @default "softmax" */
  objective?: "softmax" | "sigmoid";
  /** Image tower. */
  vision: VisionConfig;
  /** Text tower. */
  text: TextConfig;
}

/** The transform from an image to the model's pixels. */
export interface PreprocessConfig {
  /** Side of the output, in pixels. */
  size: number;
  /** Side after resizing, before the crop, in pixels. */
  resize: number;
  /** Which side is resized to that: the shortest, the longest, or both. */
  mode: "shortest" | "squash" | "longest";
  /** Interpolation of the resizing, with antialiasing as in Pillow. */
  filter: "bicubic" | "bilinear";
  /** Whose rounding of the crop's offset is used. */
  crop: "torchvision" | "hf";
  /** Value of the padding for `longest`, from 0 to 255. */
  fill: number;
  /** Subtracted from each channel, which has values from 0 to 1. */
  mean: [number, number, number];
  /** Divides each channel afterwards. */
  std: [number, number, number];
}

/** Whose tokenization is used where the reference implementations differ. */
export type TokenizerReference = "open_clip" | "openai" | "hf" | "hf_normalized";

/** The towers of a model that are loaded. */
export type Towers = "both" | "image" | "text";

/** Naming scheme of a checkpoint. */
export type CheckpointLayout = "hf" | "open_clip";
