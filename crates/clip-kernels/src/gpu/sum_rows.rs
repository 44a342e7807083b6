//! The sum of a matrix's rows in WGSL: the gradient of a bias. An invocation adds up four columns of some rows, as
//! often as it takes.

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::shader::{Shader, WIDENED, empty, launch};

/// Rows that one invocation adds up.
const CHUNK: usize = 64;
const WORKGROUP: u32 = 32;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct SumRows {
    half: bool,
}

impl Shader for SumRows {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec![if self.half { "x: vec2<u32>" } else { "x" }], vec!["sums"])
    }

    fn workgroup(&self) -> [u32; 3] {
        [WORKGROUP, 1, 1]
    }

    fn declarations(&self) -> String {
        if self.half { WIDENED.to_owned() } else { String::new() }
    }

    fn body(&self) -> String {
        let x = if self.half { "widened(x[row * n + id.x])" } else { "x[row * n + id.x]" };
        format!(
            "let n = dims[1] / 4u; let begin = group.y * {CHUNK}u;\n\
             if (id.x >= n) {{ return; }}\n\
             var sum = vec4<f32>();\n\
             for (var row = begin; row < min(begin + {CHUNK}u, dims[0]); row++) {{ sum += {x}; }}\n\
             sums[group.y * n + id.x] = sum;\n"
        )
    }
}

/// # Shapes
/// - x: `[n, width]`, f32 or f16, width in fours
/// - output: `[width]`, f32
pub(super) fn sum_rows(x: CubeTensor) -> CubeTensor {
    let mut x = into_contiguous(x);
    let width = x.meta.shape()[1];
    loop {
        let rows = x.meta.shape()[0];
        let chunks = rows.div_ceil(CHUNK);
        let sums = empty(&x, [chunks, width]);
        let groups = [(width / 4).div_ceil(WORKGROUP as usize), chunks, 1];
        launch(SumRows { half: x.dtype == DType::F16 }, &[&x], &[&sums], &[rows, width], groups);
        if chunks == 1 {
            return Cube::float_reshape(sums, [width].into());
        }
        x = sums;
    }
}
