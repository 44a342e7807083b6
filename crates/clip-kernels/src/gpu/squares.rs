//! Sums of squares in WGSL: the length of gradients. One launch a tensor, whatever its size: each invocation adds to a sum of its
//! own.

use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{Shader, launch};

const WORKGROUP: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct AddSquares {
    fours: bool,
}

impl Shader for AddSquares {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        if self.fours { (vec!["x"], vec!["sums"]) } else { (vec!["x: f32"], vec!["sums: f32"]) }
    }

    fn workgroup(&self) -> [u32; 3] {
        [WORKGROUP as u32, 1, 1]
    }

    fn body(&self) -> String {
        "var sum = sums[id.x];
         for (var i = id.x; i < dims[0]; i += dims[1]) { sum += x[i] * x[i]; }
         sums[id.x] = sum;
"
        .to_owned()
    }
}

/// # Shapes
/// - sums: `[n]`, four for each invocation; x: any
/// - output: `[n]`
pub(super) fn add(sums: CubeTensor, x: CubeTensor) -> CubeTensor {
    let sums = if sums.can_mut() { sums } else { sums.copy() };
    let x = into_contiguous(x);
    let values = x.meta.shape().num_elements();
    let fours = values.is_multiple_of(4);
    let count = if fours { values / 4 } else { values };
    let most = sums.meta.shape().num_elements() / 4 / WORKGROUP;
    let groups = count.div_ceil(WORKGROUP).min(most);
    launch(AddSquares { fours }, &[&x], &[&sums], &[count, groups * WORKGROUP], [groups, 1, 1]);
    sums
}
