//! The one error type of the library.
//!
//! Every variant has a stable [`code`](ClipError::code): the TypeScript side switches on it, so a code never changes
//! its meaning. `test/shared/errors.test.ts` holds the list against the TypeScript union.

/// Errors that a caller can act on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// A config from which no model can be built.
    #[error("invalid config: {field}: expected {expected}, got {got}")]
    InvalidConfig {
        /// Path of the field, e.g. `vision.patch_size`.
        field: String,
        /// Accepted values.
        expected: String,
        /// The value given.
        got: String,
    },
    /// An option of a call (learning rate, batch size, `k`, …) outside its range.
    #[error("invalid option {option}: expected {expected}, got {got}")]
    InvalidOption {
        /// Name of the option.
        option: String,
        /// Accepted values.
        expected: String,
        /// The value given.
        got: String,
    },
    /// An empty batch.
    #[error("empty batch: expected at least 1 {what}, got 0")]
    EmptyBatch {
        /// `image`, `text`, `pair`…
        what: String,
    },
    /// A batch of one pair, which has no negatives for the contrastive loss.
    #[error("batch too small: expected at least 2 pairs, got {got}")]
    BatchTooSmall {
        /// Pairs in the batch.
        got: usize,
    },
    /// Two lists that belong together, such as images and captions, differ in length.
    #[error("count mismatch: expected as many {right} as {left} ({left_count}), got {right_count}")]
    CountMismatch {
        /// First list.
        left: String,
        /// Its length.
        left_count: usize,
        /// Second list.
        right: String,
        /// Its length.
        right_count: usize,
    },
    /// A tensor of the wrong shape.
    #[error("shape mismatch: {what}: expected {expected}, got {got}")]
    ShapeMismatch {
        /// Name of the tensor.
        what: String,
        /// Expected shape.
        expected: String,
        /// Shape found.
        got: String,
    },
    /// A caption with more tokens than the context length, without truncation.
    #[error("caption too long: expected at most {expected} tokens with start and end, got {got}: {text:?}")]
    CaptionTooLong {
        /// The model's context length.
        expected: usize,
        /// Tokens of the caption, start and end included.
        got: usize,
        /// Start of the caption.
        text: String,
    },
    /// A token id outside the vocabulary.
    #[error("token out of range: expected ids below {expected}, got {got}")]
    TokenOutOfRange {
        /// Vocabulary size.
        expected: usize,
        /// The id found.
        got: i64,
    },
    /// Tokenizer files that cannot be read, or that do not fit the model.
    #[error("invalid tokenizer: {message}")]
    InvalidTokenizer {
        /// What is wrong, with the line number of merges.
        message: String,
    },
    /// Image bytes that cannot be decoded.
    #[error("undecodable image: expected PNG, JPEG, WebP, GIF or BMP, got {got}")]
    UndecodableImage {
        /// Number of bytes, and their format or the decoder's error.
        got: String,
    },
    /// An image above the limits of the decoder.
    #[error("image too large: expected at most {max_side} pixels on a side and {max_bytes} bytes decoded, got {got}")]
    ImageTooLarge {
        /// Limit of a side, in pixels.
        max_side: u32,
        /// Limit of the decoded pixels, in bytes.
        max_bytes: u64,
        /// Size in the file's header.
        got: String,
    },
    /// An image of one pixel: a tracking pixel, or a failed download.
    #[error("image too small: expected at least 2 pixels on a side, got {width}×{height}")]
    ImageTooSmall {
        /// Width, in pixels.
        width: usize,
        /// Height, in pixels.
        height: usize,
    },
    /// A checkpoint that cannot be read.
    #[error("invalid checkpoint: {message}")]
    InvalidCheckpoint {
        /// What is wrong.
        message: String,
    },
    /// A checkpoint without a tensor that the model needs.
    #[error("missing tensor: the checkpoint has no {name}{hint}")]
    MissingTensor {
        /// Key in the checkpoint's own layout.
        name: String,
        /// A likely reason, after a colon; empty if there is none.
        hint: &'static str,
    },
    /// A checkpoint with a tensor that the model lacks: the weights or the config of another model.
    #[error(
        "extra tensor: the weights hold {name}, which the config does not describe; load them with their own config"
    )]
    ExtraTensor {
        /// Key in the checkpoint's own layout.
        name: String,
    },
    /// A tower that the model lacks.
    #[error("no {tower} tower: the weights hold none, or were loaded without it")]
    MissingTower {
        /// `image` or `text`.
        tower: String,
    },
    /// The model of a trainer whose vocabulary size is still unknown.
    #[error("no weights yet: call fit() first, or set text.vocabSize in the config")]
    NoWeights,
    /// A second run while one is active.
    #[error("already training: end or stop the running fit() first")]
    AlreadyTraining,
    /// No interrupted run to resume.
    #[error("no run to resume: none was stopped before its last step")]
    NoRun,
    /// The adapter of a model that was trained without one.
    #[error("no adapter: call fit() with lora first")]
    NoAdapter,
    /// Pairs that differ from those of the run to resume.
    #[error("other pairs: expected those of the interrupted run, SHA-256 {expected}, got {got}")]
    OtherPairs {
        /// Digest of the run's pairs.
        expected: String,
        /// Digest of the pairs given.
        got: String,
    },
    /// The loss, a gradient or a weight is NaN or infinite; the step was not applied.
    #[error(
        "loss is not finite: expected {what} at step {step}, got {got}; the weights and the optimiser are as \
         they were before this step"
    )]
    LossNotFinite {
        /// `a finite loss`, `finite gradients` or `finite weights`.
        what: &'static str,
        /// Step, from 1.
        step: usize,
        /// `NaN` or an infinity.
        got: f32,
    },
    /// The device asked for is not available.
    #[error("no {device} device: {reason}")]
    DeviceUnavailable {
        /// `webgpu` or `cuda`.
        device: String,
        /// The platform's error.
        reason: String,
    },
    /// A tensor that does not fit into memory.
    #[error("out of memory: cannot allocate a tensor of {bytes} bytes")]
    OutOfMemory {
        /// Its size.
        bytes: usize,
    },
    /// The device computed wrongly, or a result could not be read from it.
    #[error("device failed: {message}")]
    DeviceFailed {
        /// What is wrong, or the device's error.
        message: String,
    },
}

impl ClipError {
    /// An `InvalidOption`.
    pub(crate) fn invalid_option(option: &str, expected: &str, got: impl core::fmt::Display) -> Self {
        Self::InvalidOption { option: option.into(), expected: expected.into(), got: got.to_string() }
    }

    /// An `InvalidOption` for an unknown name, which is quoted.
    pub(crate) fn unknown_name(option: &str, expected: &str, got: &str) -> Self {
        Self::invalid_option(option, expected, format!("{got:?}"))
    }

    /// A `MissingTensor` without a hint.
    pub(crate) fn missing_tensor(name: &str) -> Self {
        Self::MissingTensor { name: name.into(), hint: "" }
    }

    /// A model that transformers has no class for.
    pub(crate) fn no_hf_layout() -> Self {
        Self::unknown_name("layout", "open_clip: transformers has no such model", "hf")
    }

    /// A text for a model without a tokenizer.
    pub(crate) fn no_tokenizer() -> Self {
        Self::InvalidTokenizer { message: "the checkpoint came without one; load it with merges".into() }
    }

    /// Stable name of the variant, as TypeScript sees it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidConfig { .. } => "invalid-config",
            Self::InvalidOption { .. } => "invalid-option",
            Self::EmptyBatch { .. } => "empty-batch",
            Self::BatchTooSmall { .. } => "batch-too-small",
            Self::CountMismatch { .. } => "count-mismatch",
            Self::ShapeMismatch { .. } => "shape-mismatch",
            Self::CaptionTooLong { .. } => "caption-too-long",
            Self::TokenOutOfRange { .. } => "token-out-of-range",
            Self::InvalidTokenizer { .. } => "invalid-tokenizer",
            Self::UndecodableImage { .. } => "undecodable-image",
            Self::ImageTooLarge { .. } => "image-too-large",
            Self::ImageTooSmall { .. } => "image-too-small",
            Self::InvalidCheckpoint { .. } => "invalid-checkpoint",
            Self::MissingTensor { .. } => "missing-tensor",
            Self::ExtraTensor { .. } => "extra-tensor",
            Self::MissingTower { .. } => "missing-tower",
            Self::NoWeights => "no-weights",
            Self::AlreadyTraining => "already-training",
            Self::NoRun => "no-run",
            Self::NoAdapter => "no-adapter",
            Self::OtherPairs { .. } => "other-pairs",
            Self::LossNotFinite { .. } => "loss-not-finite",
            Self::DeviceUnavailable { .. } => "device-unavailable",
            Self::OutOfMemory { .. } => "out-of-memory",
            Self::DeviceFailed { .. } => "device-failed",
        }
    }
}

/// Result of functions that take a caller's input.
pub type Result<T> = core::result::Result<T, ClipError>;
