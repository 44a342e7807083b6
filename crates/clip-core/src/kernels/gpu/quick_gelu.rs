//! `x * sigmoid(1.702 x)` in WGSL, and its gradient.

use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{Shader, by_values, empty};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct QuickGelu {
    backward: bool,
}

impl Shader for QuickGelu {
    fn buffers(&self) -> (&'static [&'static str], &'static [&'static str]) {
        (if self.backward { &["x", "grad"] } else { &["x"] }, &["y"])
    }

    fn workgroup(&self) -> [u32; 3] {
        by_values::WORKGROUP
    }

    fn body(&self) -> String {
        let value = if self.backward { "grad[i] * (s + 1.702 * x[i] * (s * (1.0 - s)))" } else { "x[i] * s" };
        // what exp may not hold would be nothing anyway
        let sigmoid = "let s = 1.0 / (1.0 + exp(min(-1.702 * x[i], vec4(88.0))));";
        format!("{}{sigmoid}\ny[i] = {value};\n", by_values::BEGIN)
    }
}

fn run(backward: bool, inputs: &[&CubeTensor]) -> CubeTensor {
    let y = empty(inputs[0], inputs[0].meta.shape().clone());
    by_values::launch(QuickGelu { backward }, inputs, &[&y], &[]);
    y
}

pub(super) fn forward(x: CubeTensor) -> CubeTensor {
    run(false, &[&into_contiguous(x)])
}

/// Gradient of x.
pub(super) fn backward(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
    run(true, &[&into_contiguous(x), &into_contiguous(grad)])
}
