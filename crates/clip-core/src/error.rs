//! The one error type of the library.
//!
//! Every variant has a stable [`code`](ClipError::code): the TypeScript side switches on it, so a code never changes
//! its meaning. `test/shared/errors.test.ts` holds the list against the TypeScript union.

/// What can go wrong on input that a caller can mend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClipError {
    /// A configuration that no model can be made from.
    #[error("invalid config: {field}: expected {expected}, got {got}")]
    InvalidConfig {
        /// Path of the field, e.g. `vision.patch_size`.
        field: String,
        /// What would be accepted.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A setting of a call (learning rate, batch size, `k`, …) outside its range.
    #[error("invalid option {option}: expected {expected}, got {got}")]
    InvalidOption {
        /// Name of the option.
        option: String,
        /// What would be accepted.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A batch with nothing in it.
    #[error("empty batch: expected at least 1 {what}, got 0")]
    EmptyBatch {
        /// `image`, `text`, `pair`…
        what: String,
    },
    /// The contrastive loss needs a negative: a batch of one has none.
    #[error("batch too small: expected at least 2 pairs to contrast, got {got}")]
    BatchTooSmall {
        /// Pairs in the batch.
        got: usize,
    },
    /// Images and captions (or any two lists that belong together) differ in length.
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
    /// A tensor of another shape than the model takes.
    #[error("shape mismatch: {what}: expected {expected}, got {got}")]
    ShapeMismatch {
        /// Which tensor.
        what: String,
        /// Expected shape.
        expected: String,
        /// Shape found.
        got: String,
    },
    /// A caption with more tokens than the context holds, where truncation was refused.
    #[error("caption too long: expected at most {expected} tokens with start and end, got {got}: {text:?}")]
    CaptionTooLong {
        /// The model's context length.
        expected: usize,
        /// Tokens of the caption, start and end included.
        got: usize,
        /// Start of the caption.
        text: String,
    },
    /// A token id that the vocabulary does not have.
    #[error("token out of range: expected ids below {expected}, got {got}")]
    TokenOutOfRange {
        /// Vocabulary size.
        expected: usize,
        /// The id found.
        got: i64,
    },
    /// A file with the merges of a byte-pair encoding that cannot be read.
    #[error("invalid tokenizer: {message}")]
    InvalidTokenizer {
        /// What is wrong, with the line number where there is one.
        message: String,
    },
    /// Image bytes that no decoder takes.
    #[error("undecodable image: expected PNG, JPEG, WebP, GIF or BMP, got {got}")]
    UndecodableImage {
        /// What was found, in the decoder's words.
        got: String,
    },
    /// An image of more pixels than a photograph has.
    #[error("image too large: expected at most {most_side} pixels on a side and {most_bytes} bytes decoded, got {got}")]
    ImageTooLarge {
        /// Pixels on the longest side that are decoded.
        most_side: u32,
        /// Bytes that its pixels may take.
        most_bytes: u64,
        /// What the file claims.
        got: String,
    },
    /// An image of one pixel, which shows nothing.
    #[error("image too small: expected at least 2 pixels on a side, got {width}×{height}")]
    ImageTooSmall {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// A checkpoint that cannot be read.
    #[error("invalid checkpoint: {message}")]
    InvalidCheckpoint {
        /// What is wrong.
        message: String,
    },
    /// A checkpoint without a tensor that the model needs.
    #[error("missing tensor: expected {name} in the checkpoint, got none{hint}")]
    MissingTensor {
        /// Key in the checkpoint's own layout.
        name: String,
        /// What may be the reason, after a colon; mostly empty.
        hint: &'static str,
    },
    /// A checkpoint with a tensor that the model has no place for: another model's weights, or another's config.
    #[error("extra tensor: expected none beyond what the config describes, got {name}")]
    ExtraTensor {
        /// Key in the checkpoint's own layout.
        name: String,
    },
    /// A tower that the model does not have.
    #[error("no {tower} tower: expected weights that hold one and are loaded with it, got a model without")]
    MissingTower {
        /// `image` or `text`.
        tower: String,
    },
    /// A trainer asked for its model before its vocabulary, and with it its shape, is known.
    #[error("no weights yet: expected a fit() before this, or text.vocabSize in the config, got neither")]
    NoWeights,
    /// A second run while one is going on.
    #[error("already training: expected the running fit() to end or be stopped first, got another")]
    AlreadyTraining,
    /// Nothing to go on with.
    #[error("no run: expected one that was stopped before its last step, got none")]
    NoRun,
    /// Adapters asked of a model that was trained without.
    #[error("no adapter: expected a run with lora before, got none")]
    NoAdapter,
    /// Other pairs than those of the run to be gone on with.
    #[error("other pairs: expected those of the interrupted run (SHA-256 {expected}), got others ({got})")]
    OtherPairs {
        /// Sum of the run's pairs.
        expected: String,
        /// Sum of those given.
        got: String,
    },
    /// The loss, a gradient or a weight is no longer a number: the step was not applied.
    #[error(
        "loss is not finite: expected {what} at step {step}, got {got}; the weights and the optimiser are as \
         they were before this step"
    )]
    LossNotFinite {
        /// `a finite loss`, `finite gradients` or `finite weights`.
        what: &'static str,
        /// Step, counted from 1.
        step: usize,
        /// `NaN` or an infinity.
        got: f32,
    },
    /// No device of the kind that was asked for.
    #[error("no {device} device: {reason}")]
    DeviceUnavailable {
        /// `webgpu` or `cpu`.
        device: String,
        /// Why.
        reason: String,
    },
    /// No room for a tensor.
    #[error("out of memory: expected room for a tensor of {bytes} bytes, got none")]
    OutOfMemory {
        /// Its size.
        bytes: usize,
    },
    /// Reading a result back from the device failed.
    #[error("device failed: {message}")]
    DeviceFailed {
        /// The device's own words.
        message: String,
    },
}

impl ClipError {
    /// An option whose value cannot be used.
    pub(crate) fn invalid_option(option: &str, expected: &str, got: impl core::fmt::Display) -> Self {
        Self::InvalidOption { option: option.into(), expected: expected.into(), got: got.to_string() }
    }

    /// An option whose value is none of the names it knows.
    pub(crate) fn unknown_name(option: &str, expected: &str, got: &str) -> Self {
        Self::invalid_option(option, expected, format!("{got:?}"))
    }

    /// A tensor that is not there, for no reason that is known.
    pub(crate) fn missing_tensor(name: &str) -> Self {
        Self::MissingTensor { name: name.into(), hint: "" }
    }

    /// A model that transformers has no class for.
    pub(crate) fn no_hf_layout() -> Self {
        Self::unknown_name("layout", "open_clip: transformers has no such model", "hf")
    }

    /// A text for a model that came without a tokenizer.
    pub(crate) fn no_tokenizer() -> Self {
        Self::InvalidTokenizer { message: "expected the tokenizer's merges with the checkpoint, got none".into() }
    }

    /// Stable name of the kind of error, as TypeScript sees it.
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

/// Result of everything that takes a caller's input.
pub type Result<T> = core::result::Result<T, ClipError>;
