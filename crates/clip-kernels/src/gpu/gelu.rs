//! The GELUs in WGSL, and back: `x g(x)`, with gradient `g + x g'`.

use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::shader::{HALVES, Shader, WIDENED, by_values, empty_of};
use crate::fused::Gelu;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Activation {
    gelu: Gelu,
    backward: bool,
    /// Whether values come and go in half precision; what is between is in full.
    half: bool,
}

impl Shader for Activation {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let [x, grad, y] =
            if self.half { ["x: vec2<u32>", "grad: vec2<u32>", "y: vec2<u32>"] } else { ["x", "grad", "y"] };
        (if self.backward { vec![x, grad] } else { vec![x] }, vec![y])
    }

    fn workgroup(&self) -> [u32; 3] {
        by_values::WORKGROUP
    }

    fn declarations(&self) -> String {
        if self.half { WIDENED.to_owned() + HALVES } else { String::new() }
    }

    fn body(&self) -> String {
        // what exp may not hold would be nothing anyway
        let sigmoid = "let g = 1.0 / (1.0 + exp(min(-u, vec4(88.0)))); let dg = du * (g * (1.0 - g));\n";
        let (quick, cubic, tanh) = (Gelu::QUICK, Gelu::CUBIC, Gelu::TANH);
        let gate = match self.gelu {
            Gelu::Quick => format!("let u = {quick:e}f * v; let du = {quick:e}f;\n{sigmoid}"),
            Gelu::Tanh => format!(
                "let u = {tanh:e}f * v * (1.0 + {cubic:e}f * v * v);\n\
                 let du = {tanh:e}f * (1.0 + 3.0 * {cubic:e}f * v * v);\n{sigmoid}"
            ),
            Gelu::Erf => {
                let [a, b, c, d, e] = Gelu::ERF;
                format!(
                    "let z = abs(v) * {:e}f; let t = 1.0 / (1.0 + {:e}f * z); let bell = exp(-min(z * z, vec4(87.0)));\n\
                     let tail = 0.5 * bell * t * ({a:e}f + t * ({b:e}f + t * ({c:e}f + t * ({d:e}f + t * {e:e}f))));\n\
                     let g = select(1.0 - tail, tail, v < vec4(0.0)); let dg = bell * {:e}f;\n",
                    core::f32::consts::FRAC_1_SQRT_2,
                    Gelu::ERF_T,
                    Gelu::DENSITY
                )
            }
        };
        let [read, write] = if self.half { ["widened", "halves"] } else { [""; 2] };
        let value = if self.backward { format!("{read}(grad[i]) * (g + v * dg)") } else { "v * g".to_owned() };
        format!("{}let v = {read}(x[i]);\n{gate}y[i] = {write}({value});\n", by_values::begin())
    }
}

fn run(gelu: Gelu, backward: bool, inputs: &[&CubeTensor]) -> CubeTensor {
    let dtype = inputs[0].dtype;
    let y = empty_of(inputs[0], inputs[0].meta.shape().clone(), dtype);
    by_values::launch(Activation { gelu, backward, half: dtype == DType::F16 }, inputs, &[&y], &[]);
    y
}

pub(super) fn forward(x: CubeTensor, gelu: Gelu) -> CubeTensor {
    run(gelu, false, &[&into_contiguous(x)])
}

/// Gradient of x.
pub(super) fn backward(x: CubeTensor, grad: CubeTensor, gelu: Gelu) -> CubeTensor {
    run(gelu, true, &[&into_contiguous(x), &into_contiguous(grad)])
}
