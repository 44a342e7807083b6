//! Safetensors in and out, in the layouts that PyTorch users publish.

mod layout;
mod load;
mod save;

pub use layout::Layout;
pub use load::{Checkpoint, load};
pub use save::{save, save_gradients};

/// Keys under `__metadata__` of our own files: with them one file is a whole model. PyTorch readers ignore them.
pub mod metadata {
    /// [`ClipConfig`](crate::config::ClipConfig) as JSON.
    pub const CONFIG: &str = "clipwright.config";
    /// The tokenizer's merges, one a line.
    pub const MERGES: &str = "clipwright.merges";
    /// [`Reference`](crate::tokenizer::Reference) that the tokenizer follows.
    pub const REFERENCE: &str = "clipwright.tokenizer_reference";
}
