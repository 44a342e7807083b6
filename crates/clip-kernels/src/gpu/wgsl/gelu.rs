//! The GELUs as `x g(x)`, and their gradients, `g + x g'`.

use super::{PACK_F16, Shader, UNPACK_F16, by_values};
use crate::ops::gelu::Gelu;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct GeluShader {
    pub(in crate::gpu) gelu: Gelu,
    pub(in crate::gpu) backward: bool,
    /// Whether inputs and output are f16; it computes in f32.
    pub(in crate::gpu) half: bool,
}

impl Shader for GeluShader {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let [x, grad, y] =
            if self.half { ["x: vec2<u32>", "grad: vec2<u32>", "y: vec2<u32>"] } else { ["x", "grad", "y"] };
        (if self.backward { vec![x, grad] } else { vec![x] }, vec![y])
    }

    fn workgroup_size(&self) -> [u32; 3] {
        by_values::WORKGROUP_SIZE
    }

    fn declarations(&self) -> String {
        if self.half { UNPACK_F16.to_owned() + PACK_F16 } else { String::new() }
    }

    fn body(&self) -> String {
        // bounded, so that exp does not overflow
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
                    Gelu::ERF_P,
                    Gelu::DENSITY
                )
            }
        };
        let [read, write] = if self.half { ["unpack_f16", "pack_f16"] } else { [""; 2] };
        let value = if self.backward { format!("{read}(grad[i]) * (g + v * dg)") } else { "v * g".to_owned() };
        format!("{}let v = {read}(x[i]);\n{gate}y[i] = {write}({value});\n", by_values::prologue())
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        let flags = [(false, false), (false, true), (true, false), (true, true)];
        let of = |gelu| flags.map(|(backward, half)| Self { gelu, backward, half });
        [Gelu::Quick, Gelu::Erf, Gelu::Tanh].map(of).concat()
    }
}
