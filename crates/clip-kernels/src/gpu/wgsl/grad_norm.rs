//! Sum of squares: each invocation adds to partial sums of its own.

use super::Shader;

pub(in crate::gpu) const WORKGROUP_SIZE: usize = 64;

/// Its `dims`: the number of values or `vec4`s, and of invocations.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct AddSumOfSquares {
    /// Whether it reads values as `vec4`s.
    pub(in crate::gpu) vec4: bool,
}

impl Shader for AddSumOfSquares {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        if self.vec4 { (vec!["x"], vec!["sums"]) } else { (vec!["x: f32"], vec!["sums: f32"]) }
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [WORKGROUP_SIZE as u32, 1, 1]
    }

    fn body(&self) -> String {
        "var sum = sums[id.x];
         for (var i = id.x; i < dims[0]; i += dims[1]) { sum += x[i] * x[i]; }
         sums[id.x] = sum;
"
        .to_owned()
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        [false, true].map(|vec4| Self { vec4 }).into()
    }
}
