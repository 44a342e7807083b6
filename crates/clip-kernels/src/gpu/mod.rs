//! The fused operations on the GPU.

mod adamw;
mod attention;
mod gelu;
mod layer_norm;
mod product;
mod shader;
mod squares;
mod sum_rows;

use burn::backend::Cube;
use burn::backend::wgpu::{CubeTensor, WgpuSetup};

use super::fused::{AdamWRates, FusedOps, Gelu};
pub use product::compile_every_size;

/// Takes note of what a GPU has, which decides between kernels: call it once, with what the device runs on.
pub fn fit_to(setup: &WgpuSetup) {
    #[cfg(not(target_family = "wasm"))]
    product::cooperative::look(setup);
    #[cfg(target_family = "wasm")]
    let _ = setup;
}

impl FusedOps for Cube {
    fn fused_linear(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        product::forward(x, weight, bias)
    }

    fn fused_linear_int8(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
        product::forward_int8(x, weight, bias)
    }

    fn fused_matmul(a: CubeTensor, b: CubeTensor) -> CubeTensor {
        product::matmul(a, b)
    }

    fn fused_linear_backward_x(weight: CubeTensor, grad: CubeTensor) -> CubeTensor {
        product::backward_x(weight, grad)
    }

    fn fused_linear_backward_weight(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
        product::backward_weight(x, grad)
    }

    fn fused_linear_backward_bias(grad: CubeTensor) -> CubeTensor {
        sum_rows::sum_rows(grad)
    }

    fn fused_gelu(x: CubeTensor, gelu: Gelu) -> CubeTensor {
        gelu::forward(x, gelu)
    }

    fn fused_gelu_backward(x: CubeTensor, grad: CubeTensor, gelu: Gelu) -> CubeTensor {
        gelu::backward(x, grad, gelu)
    }

    fn fused_layer_norm(x: CubeTensor, weight: CubeTensor, bias: CubeTensor, eps: f32) -> CubeTensor {
        layer_norm::forward(x, weight, bias, eps)
    }

    fn fused_layer_norm_backward(
        x: CubeTensor,
        weight: CubeTensor,
        grad: CubeTensor,
        eps: f32,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        layer_norm::backward(x, weight, grad, eps)
    }

    fn fused_attention(qkv: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
        attention::forward(qkv, heads, causal)
    }

    fn fused_attention_backward(qkv: CubeTensor, grad: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
        attention::backward(qkv, grad, heads, causal)
    }

    fn fused_adamw(
        value: CubeTensor,
        gradient: CubeTensor,
        first: CubeTensor,
        second: CubeTensor,
        rates: AdamWRates,
    ) -> (CubeTensor, CubeTensor, CubeTensor) {
        adamw::step([value, gradient, first, second], rates).into()
    }

    fn fused_add_squares(sums: CubeTensor, x: CubeTensor) -> CubeTensor {
        squares::add(sums, x)
    }
}
