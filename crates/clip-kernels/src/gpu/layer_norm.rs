//! Layer norm in WGSL: a row is one invocation's on a software rasteriser, and on a GPU a workgroup's, which reads side by side.

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{MOST_GROUPS, Shader, empty, folded, in_software, launch};
use super::sum_rows::sum_rows;

/// Invocations that share a row on a GPU.
const SHARED: u32 = 32;
/// Rows of a workgroup in software, an invocation each.
const ALONE: u32 = 16;
/// Rows whose gradients of gain and bias one invocation adds up.
const CHUNK: usize = 64;

/// Of a row: what it needs of `x`, and what the second pass makes of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Row {
    backward: bool,
    /// Whether invocations share a row.
    shared: bool,
}

impl Shader for Row {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        if self.backward {
            (vec!["x", "weight", "grad"], vec!["dx", "statistics: vec2<f32>"])
        } else {
            (vec!["x", "weight", "bias"], vec!["y"])
        }
    }

    fn workgroup(&self) -> [u32; 3] {
        [if self.shared { SHARED } else { ALONE }, 1, 1]
    }

    fn declarations(&self) -> String {
        // the sum over a row, known to all that share it
        if self.shared {
            format!(
                "var<workgroup> parts: array<f32, {SHARED}>;\n\
                 fn row_sum(value: vec4<f32>, local: u32) -> f32 {{\n\
                 workgroupBarrier();\nparts[local] = value.x + value.y + value.z + value.w;\nworkgroupBarrier();\n\
                 var sum = 0.0;\nfor (var i = 0u; i < {SHARED}u; i++) {{ sum += parts[i]; }}\nreturn sum;\n}}\n"
            )
        } else {
            "fn row_sum(value: vec4<f32>, local: u32) -> f32 { return value.x + value.y + value.z + value.w; }\n".into()
        }
    }

    fn body(&self) -> String {
        // a workgroup stays together: which row it is at is the same for all that share it
        let place = if self.shared {
            format!("let row = group.x + group.y * {MOST_GROUPS}u; let first = local.x; let step = {SHARED}u;\n")
        } else {
            format!("let row = id.x + group.y * {}u; let first = 0u; let step = 1u;\n", MOST_GROUPS * ALONE as usize)
        };
        let statistics = "let n = dims[1] / 4u; let eps = bitcast<f32>(dims[2]); let at = row * n;\n\
            if (row >= dims[0]) { return; }\n\
            var sum = vec4<f32>();\n\
            for (var i = first; i < n; i += step) { sum += x[at + i]; }\n\
            let mean = row_sum(sum, local.x) / f32(dims[1]);\n\
            var squares = vec4<f32>();\n\
            for (var i = first; i < n; i += step) { let d = x[at + i] - mean; squares = fma(d, d, squares); }\n\
            let scale = inverseSqrt(row_sum(squares, local.x) / f32(dims[1]) + eps);\n";
        let rest = if self.backward {
            // dx = scale (g - mean(g) - x̂ mean(g x̂)), with g = grad · weight
            "var g_sum = vec4<f32>(); var gx_sum = vec4<f32>();\n\
             for (var i = first; i < n; i += step) {\n\
             let g = grad[at + i] * weight[i]; g_sum += g; gx_sum += g * (x[at + i] - mean) * scale;\n}\n\
             let g_mean = row_sum(g_sum, local.x) / f32(dims[1]); let gx_mean = row_sum(gx_sum, local.x) / f32(dims[1]);\n\
             for (var i = first; i < n; i += step) {\n\
             dx[at + i] = scale * (grad[at + i] * weight[i] - g_mean - (x[at + i] - mean) * scale * gx_mean);\n}\n\
             if (first == 0u) { statistics[row] = vec2(mean, scale); }\n"
        } else {
            "for (var i = first; i < n; i += step) { y[at + i] = (x[at + i] - mean) * scale * weight[i] + bias[i]; }\n"
        };
        format!("{place}{statistics}{rest}")
    }
}

/// Gradients of gain and bias, side by side, added up over [`CHUNK`] rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Columns;

impl Shader for Columns {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec!["x", "grad", "statistics: vec2<f32>"], vec!["sums"])
    }

    fn workgroup(&self) -> [u32; 3] {
        [32, 1, 1]
    }

    fn body(&self) -> String {
        format!(
            "let n = dims[1] / 4u; let begin = group.y * {CHUNK}u;\n\
             if (id.x >= n) {{ return; }}\n\
             var of_weight = vec4<f32>(); var of_bias = vec4<f32>();\n\
             for (var row = begin; row < min(begin + {CHUNK}u, dims[0]); row++) {{\n\
             let s = statistics[row]; let g = grad[row * n + id.x];\n\
             of_weight += g * (x[row * n + id.x] - s.x) * s.y; of_bias += g;\n}}\n\
             sums[group.y * 2u * n + id.x] = of_weight; sums[(group.y * 2u + 1u) * n + id.x] = of_bias;\n"
        )
    }
}

fn by_rows(backward: bool, inputs: [&CubeTensor; 3], outputs: &[&CubeTensor], eps: f32) {
    let (rows, width) = rows(inputs[0]);
    let shader = Row { backward, shared: !in_software(inputs[0]) };
    let groups = if shader.shared { rows } else { rows.div_ceil(ALONE as usize) };
    launch(shader, &inputs, outputs, &[rows, width, eps.to_bits() as usize], folded(groups));
}

/// Number and width of the rows.
fn rows(x: &CubeTensor) -> (usize, usize) {
    let shape = x.meta.shape();
    let width = shape[shape.num_dims() - 1];
    (shape.num_elements() / width, width)
}

/// # Shapes
/// - x: `[.., width]`; weight, bias: `[width]`
/// - output: as x
pub(super) fn forward(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, eps: f32) -> CubeTensor {
    let [x, weight, bias] = [x, weight, bias].map(into_contiguous);
    let y = empty(&x, x.meta.shape().clone());
    by_rows(false, [&x, &weight, &bias], &[&y], eps);
    y
}

/// Gradients of x, weight and bias.
///
/// # Shapes
/// - x, grad: `[.., width]`; weight: `[width]`
/// - output: as x, `[width]` and `[width]`
pub(super) fn backward(
    x: CubeTensor,
    weight: CubeTensor,
    grad: CubeTensor,
    eps: f32,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let [x, weight, grad] = [x, weight, grad].map(into_contiguous);
    let (rows, width) = rows(&x);
    let (dx, statistics) = (empty(&x, x.meta.shape().clone()), empty(&x, [rows, 2]));
    by_rows(true, [&x, &weight, &grad], &[&dx, &statistics], eps);
    let chunks = rows.div_ceil(CHUNK);
    let sums = empty(&x, [chunks, 2 * width]);
    launch(Columns, &[&x, &grad, &statistics], &[&sums], &[rows, width], [(width / 4).div_ceil(32), chunks, 1]);
    let sums = sum_rows(sums); // [2 width]
    let half = |begin: usize| Cube::float_slice(sums.clone(), &[(begin..begin + width).into()]);
    (dx, half(0), half(width))
}
