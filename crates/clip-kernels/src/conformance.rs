//! Compares kernels with their references on the CPU, outputs and gradients: a whole device by [`check`], in the browser too, and in
//! `cargo test` each operation of the CPU over odd shapes.
//!
//! In a build only with the feature `conformance`, which no published module has.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, f16};

use crate::ops::gelu::Gelu;
use crate::ops::{adamw, attention, gelu, layer_norm, linear};
use crate::{AdamWRates, add_sum_of_squares, matmul, quantize, to_f32, zero_sums_of_squares};

/// Largest error, relative to the largest value: sums in another order.
const TOLERANCE: f32 = 5e-5;
/// The same on the CPU.
#[cfg(test)]
pub(crate) const CPU_TOLERANCE: f32 = 1.6e-5;
/// The same if values are rounded to half precision on the way.
const HALF_TOLERANCE: f32 = 2e-3;

/// An operation of up to three tensors: `[batch, length, in]`, `[in, out]` and `[out]`.
type Operation = Box<dyn Fn(Tensor<3>, Tensor<2>, Tensor<1>) -> Tensor<3>>;
type Linear = fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>;
type Matmul = fn(Tensor<3>, Tensor<3>) -> Tensor<3>;
type Step = fn([Tensor<2>; 4], AdamWRates) -> [Tensor<2>; 3];
/// Applied to x before an operation.
type Cast = fn(Tensor<3>) -> Tensor<3>;

/// An operation, its reference, and the shapes of their arguments.
pub(crate) struct Case {
    name: String,
    x: [usize; 3],
    weight: [usize; 2],
    kernel: Operation,
    reference: Operation,
}

/// Cases of `[n, in, out]`, each with the weight as it is and transposed.
pub(crate) fn linear_cases(shapes: &[[usize; 3]], linear: Linear) -> Vec<Case> {
    let of = |&[n, width, out]: &[usize; 3]| {
        [
            Case {
                name: format!("linear {n} {width} {out}"),
                x: [1, n, width],
                weight: [width, out],
                kernel: Box::new(move |x, w, b| linear(x, w, Some(b))),
                reference: Box::new(|x, w, b| linear::reference(x, w, Some(b))),
            },
            Case {
                name: format!("linear, transposed, {n} {width} {out}"),
                x: [1, n, width],
                weight: [out, width],
                kernel: Box::new(move |x, w, _| linear(x, w.transpose(), None)),
                reference: Box::new(|x, w, _| linear::reference(x, w.transpose(), None)),
            },
        ]
    };
    shapes.iter().flat_map(of).collect()
}

/// Cases of `[batch, length, width]`.
pub(crate) fn layer_norm_cases(shapes: &[[usize; 3]]) -> Vec<Case> {
    let of = |&x: &[usize; 3]| Case {
        name: format!("layer norm {x:?}"),
        x,
        weight: [1, x[2]],
        kernel: Box::new(|x, w, b| layer_norm::layer_norm(x, w.reshape([-1]), b, 1e-5)),
        reference: Box::new(|x, w, b| layer_norm::reference(x, w.reshape([-1]), b, 1e-5)),
    };
    shapes.iter().map(of).collect()
}

/// Cases of `[batch, length, width]`.
pub(crate) fn gelu_cases(shapes: &[[usize; 3]]) -> Vec<Case> {
    let kernels: [(Cast, Gelu); 3] =
        [(gelu::quick_gelu, Gelu::Quick), (gelu::gelu, Gelu::Erf), (gelu::gelu_tanh, Gelu::Tanh)];
    let of = |&x: &[usize; 3]| {
        kernels.map(|(kernel, gelu)| Case {
            name: format!("{gelu:?} GELU {x:?}"),
            x,
            weight: [1, 1],
            kernel: Box::new(move |x, _, _| kernel(x)),
            reference: Box::new(move |x, _, _| gelu::reference(x, gelu)),
        })
    };
    shapes.iter().flat_map(of).collect()
}

/// Cases of `[batch, length, heads, head_dim]`, causal and not.
pub(crate) fn attention_cases(shapes: &[[usize; 4]]) -> Vec<Case> {
    let of = |&[batch, length, heads, head_dim]: &[usize; 4]| {
        [false, true].map(|causal| Case {
            name: format!("attention {batch} {length} {heads} {head_dim} {causal}"),
            x: [batch, length, 3 * heads * head_dim],
            weight: [1, 1],
            kernel: Box::new(move |x, _, _| attention::attention(x, heads, causal)),
            reference: Box::new(move |x, _, _| attention::reference(x, heads, causal)),
        })
    };
    shapes.iter().flat_map(of).collect()
}

/// Deterministic values between -2 and 2.
pub(crate) fn input<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 500.0 - 2.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Output of an operation, and the gradients of a loss with another weight for each of its values; empty for unused arguments.
async fn run(case: &Case, operation: &Operation, device: &Device, cast: Cast) -> Result<[Vec<f32>; 4], String> {
    let tracked = device.clone().autodiff();
    let x = input(case.x, 1, &tracked).require_grad();
    let weight = input(case.weight, 2, &tracked).require_grad();
    let bias = input([case.weight[1]], 3, &tracked).require_grad();
    let y = to_f32(operation(cast(x.clone()), weight.clone(), bias.clone()));
    let gradients = (y.clone() * input(y.dims(), 4, &tracked)).sum().backward();
    Ok([
        read(y.inner()).await?,
        read_or_empty(x.grad(&gradients)).await?,
        read_or_empty(weight.grad(&gradients)).await?,
        read_or_empty(bias.grad(&gradients)).await?,
    ])
}

async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, String> {
    let data = tensor.cast(FloatDType::F32).into_data_async().await.map_err(|e| e.to_string())?;
    data.try_into_vec::<f32>().map_err(|e| format!("{e:?}"))
}

async fn read_or_empty<const D: usize>(tensor: Option<Tensor<D>>) -> Result<Vec<f32>, String> {
    match tensor {
        Some(tensor) => read(tensor).await,
        None => Ok(Vec::new()),
    }
}

/// Value and moments after a step of AdamW.
async fn step(shape: [usize; 2], device: &Device, adamw: Step) -> Result<Vec<Vec<f32>>, String> {
    let [value, gradient, first, second] = [1, 2, 3, 4].map(|seed| input(shape, seed, device));
    let mut out = Vec::new();
    for tensor in adamw([value, gradient, first, second.abs()], AdamWRates::EXAMPLE) {
        out.push(read(tensor).await?);
    }
    Ok(out)
}

/// Norm of three tensors.
async fn norm(sizes: [usize; 3], device: &Device) -> Result<f64, String> {
    let mut sums = zero_sums_of_squares(device);
    for (seed, size) in sizes.into_iter().enumerate() {
        sums = add_sum_of_squares(sums, input::<1>([size], seed + 1, device));
    }
    Ok(read(sums).await?.into_iter().map(f64::from).sum::<f64>().sqrt())
}

/// Output for a quantized weight.
async fn with_int8_weight([n, width, out]: [usize; 3], device: &Device, linear: Linear) -> Result<Vec<f32>, String> {
    let weight: Vec<f32> = (0..out * width).map(|i| (i * 7919 % 2003) as f32 / 500.0 - 2.0).collect();
    let weight = quantize(&weight, width).ok_or_else(|| format!("width {width} is not a multiple of 8"))?;
    let weight = Tensor::from_data(weight, device);
    read(linear(input([1, n, width], 1, device), weight, Some(input([out], 2, device)))).await
}

/// Output for a weight in half precision, optionally stored transposed.
async fn with_half_weight(
    [n, width, out]: [usize; 3],
    transposed: bool,
    device: &Device,
    linear: Linear,
) -> Result<Vec<f32>, String> {
    let (rows, columns) = if transposed { (out, width) } else { (width, out) };
    let weight = (0..rows * columns).map(|i| f16::from_f32((i * 7919 % 2003) as f32 / 500.0 - 2.0));
    let weight = TensorData::new(weight.collect::<Vec<f16>>(), [rows, columns]);
    let weight = Tensor::<2>::from_data(weight, (device, DType::F16));
    let weight = if transposed { weight.transpose() } else { weight };
    read(linear(input([1, n, width], 1, device), weight, Some(input([out], 2, device)))).await
}

/// Products of three pairs of matrices, of one matrix with three, and of three with a transposed one.
async fn products([m, k, n]: [usize; 3], device: &Device, matmul: Matmul) -> Result<Vec<f32>, String> {
    let (a, b) = (input([3, m, k], 1, device), input([3, k, n], 2, device));
    let transposed = input([1, n, k], 3, device).swap_dims(1, 2);
    let products = [matmul(a.clone(), b.clone()), matmul(a.clone().narrow(0, 1, 1), b), matmul(a, transposed)];
    read(Tensor::cat(products.into(), 0)).await
}

/// Fails if lengths differ, a value is not finite, or an error exceeds `tolerance` times the largest expected value.
fn compare(name: &str, got: &[f32], expected: &[f32], tolerance: f32) -> Result<(), String> {
    let largest = expected.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    let error = got.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    if got.len() != expected.len() {
        return Err(format!("{name}: expected {} values, got {}", expected.len(), got.len()));
    }
    if got.iter().any(|x| !x.is_finite()) {
        return Err(format!("{name}: some values are not finite"));
    }
    if error > tolerance * largest {
        return Err(format!("{name} differs from the CPU's reference by {error:e}, with values up to {largest:e}"));
    }
    Ok(())
}

/// Compares output and gradients of a case with its reference on the CPU.
async fn check_case(case: &Case, device: &Device, casts: [Cast; 2], tolerance: f32) -> Result<(), String> {
    let got = run(case, &case.kernel, device, casts[0]).await?;
    let expected = run(case, &case.reference, &Device::flex(), casts[1]).await?;
    let names = ["output", "gradient of x", "gradient of the weight", "gradient of the bias"];
    for ((got, expected), name) in got.iter().zip(&expected).zip(names) {
        compare(&format!("{}, {name}", case.name), got, expected, tolerance)?;
    }
    Ok(())
}

fn to_f16(x: Tensor<3>) -> Tensor<3> {
    x.cast(FloatDType::F16)
}

/// Compares each operation on `device` with its reference on the CPU.
///
/// # Errors
/// Names the first operation that differs.
pub async fn check(device: &Device) -> Result<(), String> {
    let cpu = Device::flex();
    let small = [[1, 4, 4], [5, 12, 20], [9, 32, 36], [33, 64, 132], [70, 100, 8], [64, 128, 384]];
    // large tilings on a GPU: of the output, of the gradient of x, of that of the weight; the last by cooperative matrices
    let large = [[520, 20, 1040], [520, 1040, 20], [20, 520, 1040], [1288, 72, 1288]];
    let linears = linear_cases(&[&small[..], &large].concat(), linear::linear);
    let shapes = [[1, 1, 4], [2, 3, 12], [3, 65, 36], [1, 5, 768]];
    let attentions = attention_cases(&[[1, 1, 1, 4], [2, 3, 2, 8], [2, 33, 3, 12], [1, 77, 2, 64], [3, 50, 1, 80]]);
    let others = [layer_norm_cases(&shapes), gelu_cases(&shapes), attentions];
    for case in linears.iter().chain(others.iter().flatten()) {
        check_case(case, device, [|x| x; 2], TOLERANCE).await?;
    }
    // training in half precision
    if device.supports_dtype(FloatDType::F16) && *device != cpu {
        for case in &linears {
            check_case(case, device, [to_f16, |x| to_f32(to_f16(x))], HALF_TOLERANCE)
                .await
                .map_err(|message| format!("in half precision: {message}"))?;
        }
    }
    for shape in [[1, 8, 4], [5, 24, 20], [9, 320, 36], [33, 512, 132], [70, 104, 8]] {
        let got = with_int8_weight(shape, device, linear::linear).await?;
        let expected = with_int8_weight(shape, &cpu, linear::reference).await?;
        compare(&format!("linear with an 8-bit weight {shape:?}"), &got, &expected, TOLERANCE)?;
    }
    // multiples of 4: for others Burn casts the weight, which needs f16 support
    for shape in [[1, 4, 4], [5, 12, 20], [33, 64, 132], [1288, 72, 1288]] {
        for transposed in [false, true] {
            let got = with_half_weight(shape, transposed, device, linear::linear).await?;
            let expected = with_half_weight(shape, transposed, &cpu, linear::reference).await?;
            // cooperative matrices round x to half precision, too
            let tolerance = if shape[0] > 1000 { HALF_TOLERANCE } else { TOLERANCE };
            compare(&format!("linear with an f16 weight {shape:?} {transposed}"), &got, &expected, tolerance)?;
        }
    }
    for shape in [[1, 4, 4], [5, 12, 20], [9, 7, 33], [33, 64, 132]] {
        let got = products(shape, device, matmul).await?;
        compare(&format!("matmul {shape:?}"), &got, &products(shape, &cpu, Tensor::matmul).await?, TOLERANCE)?;
    }
    for shape in [[1, 4], [37, 12], [130, 64]] {
        let got = step(shape, device, adamw::adamw).await?;
        for (got, expected) in got.iter().zip(&step(shape, &cpu, adamw::reference).await?) {
            compare(&format!("AdamW {shape:?}"), got, expected, TOLERANCE)?;
        }
    }
    // the last one is larger than the GPU's partial sums
    let sizes = [5, 4096, 200_001];
    let mut sum_of_squares = 0.0;
    for (seed, size) in sizes.into_iter().enumerate() {
        let values = read(input::<1>([size], seed + 1, &cpu)).await?;
        sum_of_squares += values.into_iter().map(|x| f64::from(x).powi(2)).sum::<f64>();
    }
    let expected = sum_of_squares.sqrt() as f32;
    compare("gradient norm", &[norm(sizes, device).await? as f32], &[expected], TOLERANCE)
}

#[cfg(test)]
pub(crate) use testing::{assert_close, assert_conforms, values};

/// The harness for `cargo test`, on the CPU.
#[cfg(test)]
mod testing {
    use pollster::block_on;

    use super::*;

    /// Compares output and gradients of each case with its reference.
    #[track_caller]
    pub(crate) fn assert_conforms(cases: Vec<Case>) {
        for case in cases {
            block_on(check_case(&case, &Device::flex(), [|x| x; 2], CPU_TOLERANCE)).unwrap();
        }
    }

    #[track_caller]
    pub(crate) fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
        compare(name, got, expected, tolerance).unwrap();
    }

    pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        block_on(read(x)).unwrap()
    }

    #[test]
    fn the_cpu_conforms() {
        block_on(check(&Device::flex())).unwrap();
    }

    #[test]
    fn errors_and_non_finite_values_are_found() {
        compare("values", &[1.0, 2.0], &[1.0, 2.00001], TOLERANCE).unwrap();
        for got in [&[1.0, 2.1][..], &[1.0, f32::NAN], &[1.0]] {
            compare("values", got, &[1.0, 2.0], TOLERANCE).unwrap_err();
        }
    }
}
