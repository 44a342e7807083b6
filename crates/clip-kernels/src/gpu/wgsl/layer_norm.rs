//! Layer norm: a workgroup shares a row on a GPU, so that its reads are coalesced; on a software rasterizer each invocation has a row
//! of its own.

use super::{MAX_WORKGROUPS, Shader};

/// Invocations that share a row on a GPU.
const INVOCATIONS_PER_ROW: u32 = 32;
/// Rows of a workgroup on a software rasterizer, one an invocation.
pub(in crate::gpu) const ROWS_PER_WORKGROUP: u32 = 16;
/// Rows whose gradients of weight and bias one invocation adds up.
pub(in crate::gpu) const CHUNK: usize = 64;

/// The output or the gradient of x, row by row: its statistics first. Its `dims`: number and width of the rows, and eps as bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct LayerNorm {
    /// Whether it computes the gradient of x, and writes the rows' statistics for [`ParameterGradients`].
    pub(in crate::gpu) backward: bool,
    /// Whether a workgroup shares a row.
    pub(in crate::gpu) shared: bool,
}

impl Shader for LayerNorm {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        if self.backward {
            (vec!["x", "weight", "grad"], vec!["dx", "statistics: vec2<f32>"])
        } else {
            (vec!["x", "weight", "bias"], vec!["y"])
        }
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [if self.shared { INVOCATIONS_PER_ROW } else { ROWS_PER_WORKGROUP }, 1, 1]
    }

    fn declarations(&self) -> String {
        // sum over a row, returned to all invocations that share it
        if self.shared {
            format!(
                "var<workgroup> parts: array<f32, {INVOCATIONS_PER_ROW}>;\n\
                 fn row_sum(value: vec4<f32>, local: u32) -> f32 {{\n\
                 workgroupBarrier();\nparts[local] = value.x + value.y + value.z + value.w;\nworkgroupBarrier();\n\
                 var sum = 0.0;\nfor (var i = 0u; i < {INVOCATIONS_PER_ROW}u; i++) {{ sum += parts[i]; }}\nreturn sum;\n}}\n"
            )
        } else {
            "fn row_sum(value: vec4<f32>, local: u32) -> f32 { return value.x + value.y + value.z + value.w; }\n".into()
        }
    }

    fn body(&self) -> String {
        // the row is uniform in a workgroup that shares it, so that the early return is no divergent flow
        let place = if self.shared {
            format!(
                "let row = group.x + group.y * {MAX_WORKGROUPS}u; let first = local.x; let step = {INVOCATIONS_PER_ROW}u;\n"
            )
        } else {
            format!(
                "let row = id.x + group.y * {}u; let first = 0u; let step = 1u;\n",
                MAX_WORKGROUPS * ROWS_PER_WORKGROUP as usize
            )
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

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        flags.map(|(backward, shared)| Self { backward, shared }).into()
    }
}

/// `vec4`s of columns of a workgroup.
pub(in crate::gpu) const VEC4S_PER_WORKGROUP: u32 = 32;

/// Gradients of weight and bias, summed over [`CHUNK`] rows each: `[chunks, 2 width]`. Its `dims`: number and width of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct ParameterGradients;

impl Shader for ParameterGradients {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec!["x", "grad", "statistics: vec2<f32>"], vec!["sums"])
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [VEC4S_PER_WORKGROUP, 1, 1]
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

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        vec![Self]
    }
}
