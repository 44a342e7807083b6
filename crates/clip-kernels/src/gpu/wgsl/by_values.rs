//! Shaders that map each four values to four others, independent of their position.

use super::MAX_WORKGROUPS;

pub(in crate::gpu) const WORKGROUP_SIZE: [u32; 3] = [64, 1, 1];

/// First lines of the body: `i` is the index of the four values; `dims[0]` is their number.
pub(super) fn prologue() -> String {
    format!(
        "let i = id.x + id.y * {}u;\nif (i >= dims[0]) {{ return; }}\n",
        MAX_WORKGROUPS * WORKGROUP_SIZE[0] as usize
    )
}
