//! The fused operations on the CPU.

mod adamw;
mod attention;
mod exp;
mod gelu;
mod ints;
mod lanes;
mod layer_norm;
mod linear;
mod matmul;
mod matmul_int8;
mod parallel;
mod squares;

use burn::backend::flex::{FlexQTensor, FlexTensor};
use burn::backend::ops::FloatTensorOps;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;

use super::OURS;
use super::fused::{AdamWRates, FusedOps, Gelu};

/// Values of a tensor in row-major order, copied only where they are not so already.
fn values<R>(tensor: &FlexTensor, use_values: impl FnOnce(&[f32]) -> R) -> R {
    match tensor.as_slice::<f32>() {
        Some(values) => use_values(values),
        None => use_values(tensor.to_contiguous().as_slice::<f32>().unwrap_or(&[])),
    }
}

fn tensor(values: Vec<f32>, shape: impl Into<burn::tensor::Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

impl FusedOps for Flex {
    fn fused_linear(x: FlexTensor, weight: FlexTensor, bias: FlexTensor) -> FlexTensor {
        linear::forward(x, weight, bias)
    }

    fn fused_linear_int8(x: FlexTensor, weight: FlexQTensor, bias: FlexTensor) -> FlexTensor {
        linear::forward_int8(x, weight, bias)
    }

    fn fused_matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        if OURS { linear::matmul(a, b) } else { Self::float_matmul(a, b) }
    }

    fn fused_linear_backward_x(weight: FlexTensor, grad: FlexTensor) -> FlexTensor {
        linear::backward_x(weight, grad)
    }

    fn fused_linear_backward_weight(x: FlexTensor, grad: FlexTensor) -> FlexTensor {
        linear::backward_weight(x, grad)
    }

    fn fused_linear_backward_bias(grad: FlexTensor) -> FlexTensor {
        linear::backward_bias(grad)
    }

    fn fused_gelu(x: FlexTensor, gelu: Gelu) -> FlexTensor {
        tensor(values(&x, |x| gelu::forward(x, gelu)), x.shape())
    }

    fn fused_gelu_backward(x: FlexTensor, grad: FlexTensor, gelu: Gelu) -> FlexTensor {
        tensor(values(&x, |x| values(&grad, |grad| gelu::backward(x, grad, gelu))), x.shape())
    }

    fn fused_layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, eps: f32) -> FlexTensor {
        let y =
            values(&x, |x| values(&weight, |weight| values(&bias, |bias| layer_norm::forward(x, weight, bias, eps))));
        tensor(y, x.shape())
    }

    fn fused_layer_norm_backward(
        x: FlexTensor,
        weight: FlexTensor,
        grad: FlexTensor,
        eps: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (dx, dweight, dbias) =
            values(&x, |x| values(&weight, |weight| values(&grad, |grad| layer_norm::backward(x, weight, grad, eps))));
        (tensor(dx, x.shape()), tensor(dweight, weight.shape()), tensor(dbias, weight.shape()))
    }

    fn fused_attention(qkv: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = attention::Shape::new(&qkv.shape(), heads, causal);
        tensor(values(&qkv, |qkv| attention::forward(qkv, shape)), [shape.batch, shape.length, shape.width()])
    }

    fn fused_attention_backward(qkv: FlexTensor, grad: FlexTensor, heads: usize, causal: bool) -> FlexTensor {
        let shape = attention::Shape::new(&qkv.shape(), heads, causal);
        tensor(values(&qkv, |qkv| values(&grad, |grad| attention::backward(qkv, grad, shape))), qkv.shape())
    }

    fn fused_adamw(
        value: FlexTensor,
        gradient: FlexTensor,
        first: FlexTensor,
        second: FlexTensor,
        rates: AdamWRates,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let new = values(&value, |x| {
            values(&gradient, |g| values(&first, |m| values(&second, |v| adamw::step(x, g, m, v, rates))))
        });
        new.map(|new| tensor(new, value.shape())).into()
    }

    fn fused_add_squares(sums: FlexTensor, x: FlexTensor) -> FlexTensor {
        let added = values(&sums, |sums| values(&x, |x| squares::add(sums, x)));
        tensor(added, sums.shape())
    }
}
