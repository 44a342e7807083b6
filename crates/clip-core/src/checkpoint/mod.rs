//! Reads and writes safetensors in the layouts that PyTorch users publish.

#[cfg(feature = "train")]
mod gradients;
mod header;
mod host_values;
mod key_mapping;
mod layout;
mod merge;
mod naming;
mod options;
mod plan;
mod save;
#[cfg(feature = "train")]
mod save_adapter;
mod stored_dtype;
mod weights_loader;

#[cfg(feature = "train")]
pub use gradients::save_gradients;
pub use header::{Header, TensorInfo};
pub use layout::Layout;
pub use merge::Adapter;
pub use options::{LoadOptions, Precision};
pub use plan::ByteRange;
pub(crate) use plan::select_towers;
pub use save::save;
#[cfg(feature = "train")]
pub(crate) use save::{serialize, sort_header};
#[cfg(feature = "train")]
pub use save_adapter::save_adapter;
pub use weights_loader::{Loaded, WeightsLoader, load};

/// Keys that clipwright writes into `__metadata__`: with them one file is a complete model. PyTorch readers ignore them.
pub mod metadata {
    /// [`ClipConfig`](crate::config::ClipConfig) as JSON.
    pub const CONFIG: &str = "clipwright.config";
    /// The tokenizer's merges, one per line.
    pub const MERGES: &str = "clipwright.merges";
    /// [`Reference`](crate::tokenizer::Reference) that the tokenizer follows.
    pub const REFERENCE: &str = "clipwright.tokenizer_reference";
    /// Words of the captions that the vocabulary was cut to, separated by spaces; only if it was cut.
    pub const SEEN_WORDS: &str = "clipwright.seen_words";
    /// [`Cleaning`](crate::tokenizer::Cleaning) before the tokenizer.
    pub const CLEANING: &str = "clipwright.tokenizer_cleaning";
    /// Hugging Face's `tokenizer_config.json`: special and added tokens, padding.
    pub const TOKENIZER_CONFIG: &str = "clipwright.tokenizer_config";
    /// [`Preprocess`](crate::preprocess::Preprocess) as JSON.
    pub const PREPROCESS: &str = "clipwright.preprocess";
    /// What a training state holds beside tensors, as JSON; in no other file.
    pub const TRAINING: &str = "clipwright.training";
}
