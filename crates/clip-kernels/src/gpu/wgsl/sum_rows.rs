//! Sum over the rows of a matrix: an invocation adds up four columns of a chunk of rows.

use super::{Shader, UNPACK_F16};

/// Rows of a chunk.
pub(in crate::gpu) const CHUNK: usize = 64;
pub(in crate::gpu) const WORKGROUP_SIZE: u32 = 32;

/// Its `dims`: rows and columns.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct SumRows {
    /// Whether x is f16.
    pub(in crate::gpu) half: bool,
}

impl Shader for SumRows {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec![if self.half { "x: vec2<u32>" } else { "x" }], vec!["sums"])
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [WORKGROUP_SIZE, 1, 1]
    }

    fn declarations(&self) -> String {
        if self.half { UNPACK_F16.to_owned() } else { String::new() }
    }

    fn body(&self) -> String {
        let x = if self.half { "unpack_f16(x[row * n + id.x])" } else { "x[row * n + id.x]" };
        format!(
            "let n = dims[1] / 4u; let begin = group.y * {CHUNK}u;\n\
             if (id.x >= n) {{ return; }}\n\
             var sum = vec4<f32>();\n\
             for (var row = begin; row < min(begin + {CHUNK}u, dims[0]); row++) {{ sum += {x}; }}\n\
             sums[group.y * n + id.x] = sum;\n"
        )
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        [false, true].map(|half| Self { half }).into()
    }
}
