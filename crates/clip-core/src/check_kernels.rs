//! Whether a device computes the towers' operations, forward and backward, as the CPU composes them: over shapes that fill its
//! tiles and shapes that don't.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, f16};

use clip_kernels::{self as kernels, AdamWRates, int8, reference};

use crate::device::{cpu, read};
use crate::error::{ClipError, Result};

/// Share of the largest value that may differ: sums in another order.
const TOLERANCE: f32 = 5e-5;
/// The same where values are rounded to half precision on the way.
const HALF_TOLERANCE: f32 = 2e-3;

/// An operation of up to three tensors: `[batch, length, in]`, `[in, out]` and `[out]`.
type Operation = Box<dyn Fn(Tensor<3>, Tensor<2>, Tensor<1>) -> Tensor<3>>;

struct Case {
    name: String,
    x: [usize; 3],
    weight: [usize; 2],
    ours: Operation,
    reference: Operation,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let small = [[1, 4, 4], [5, 12, 20], [9, 32, 36], [33, 64, 132], [70, 100, 8], [64, 128, 384]];
    // a GPU's large blocks: of the output, of the gradient of x, of that of the weight
    // the last by what multiplies halves by matrices
    let large = [[520, 20, 1040], [520, 1040, 20], [20, 520, 1040], [1288, 72, 1288]];
    for [n, width, out] in small.into_iter().chain(large) {
        cases.push(Case {
            name: format!("linear {n} {width} {out}"),
            x: [1, n, width],
            weight: [width, out],
            ours: Box::new(|x, w, b| kernels::linear(x, w, Some(b))),
            reference: Box::new(|x, w, b| reference::linear(x, w, Some(b))),
        });
        // as the optimiser and a tied weight may leave it
        cases.push(Case {
            name: format!("linear, transposed, {n} {width} {out}"),
            x: [1, n, width],
            weight: [out, width],
            ours: Box::new(|x, w, _| kernels::linear(x, w.transpose(), None)),
            reference: Box::new(|x, w, _| reference::linear(x, w.transpose(), None)),
        });
    }
    for [batch, length, width] in [[1, 1, 4], [2, 3, 12], [3, 65, 36], [1, 5, 768]] {
        cases.push(Case {
            name: format!("layer norm {batch} {length} {width}"),
            x: [batch, length, width],
            weight: [1, width],
            ours: Box::new(|x, w, b| kernels::layer_norm(x, w.reshape([-1]), b, 1e-5)),
            reference: Box::new(|x, w, b| reference::layer_norm(x, w.reshape([-1]), b, 1e-5)),
        });
        type Activation = fn(Tensor<3>) -> Tensor<3>;
        let gelus: [(&str, Activation, Activation); 3] = [
            ("quick gelu", kernels::quick_gelu, reference::quick_gelu),
            ("gelu", kernels::gelu, reference::gelu),
            ("gelu by tanh", kernels::gelu_tanh, reference::gelu_tanh),
        ];
        for (name, ours, reference) in gelus {
            cases.push(Case {
                name: format!("{name} {batch} {length} {width}"),
                x: [batch, length, width],
                weight: [1, 1],
                ours: Box::new(move |x, _, _| ours(x)),
                reference: Box::new(move |x, _, _| reference(x)),
            });
        }
    }
    for [batch, length, heads, head_dim] in [[1, 1, 1, 4], [2, 3, 2, 8], [2, 33, 3, 12], [1, 77, 2, 64], [3, 50, 1, 80]]
    {
        for causal in [false, true] {
            cases.push(Case {
                name: format!("attention {batch} {length} {heads} {head_dim} {causal}"),
                x: [batch, length, 3 * heads * head_dim],
                weight: [1, 1],
                ours: Box::new(move |x, _, _| kernels::attention(x, heads, causal)),
                reference: Box::new(move |x, _, _| reference::attention(x, heads, causal)),
            });
        }
    }
    cases
}

/// Deterministic values between -2 and 2.
fn input<const D: usize>(shape: [usize; D], seed: usize, device: &Device) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 500.0 - 2.0).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// What an operation is given in the place of x.
type Preparation = fn(Tensor<3>) -> Tensor<3>;

/// The output, and the gradients of a loss that weighs every value of it differently.
async fn run(case: &Case, operation: &Operation, device: &Device, of: Preparation) -> Result<[Vec<f32>; 4]> {
    let tracked = device.clone().autodiff();
    let x = input(case.x, 1, &tracked).require_grad();
    let weight = input(case.weight, 2, &tracked).require_grad();
    let bias = input([case.weight[1]], 3, &tracked).require_grad();
    let y = kernels::widen(operation(of(x.clone()), weight.clone(), bias.clone()));
    let gradients = (y.clone() * input(y.dims(), 4, &tracked)).sum().backward();
    async fn or_none<const D: usize>(gradient: Option<Tensor<D>>) -> Result<Vec<f32>> {
        match gradient {
            Some(gradient) => read(gradient).await,
            None => Ok(Vec::new()),
        }
    }
    Ok([
        read(y.inner()).await?,
        or_none(x.grad(&gradients)).await?,
        or_none(weight.grad(&gradients)).await?,
        or_none(bias.grad(&gradients)).await?,
    ])
}

/// A step of AdamW: value and moments.
async fn step(shape: [usize; 2], device: &Device, adamw: Step) -> Result<Vec<Vec<f32>>> {
    let [value, gradient, first, second] = [1, 2, 3, 4].map(|seed| input(shape, seed, device));
    let rates = AdamWRates {
        scale: 0.5,
        beta_1: 0.9,
        new_1: 0.1,
        beta_2: 0.98,
        new_2: 0.02,
        rate: 1e-2,
        correction: 0.25,
        epsilon: 1e-6,
        kept: 0.999,
    };
    let mut out = Vec::new();
    for tensor in adamw([value, gradient, first, second.abs()], rates) {
        out.push(read(tensor).await?);
    }
    Ok(out)
}

/// The length of three tensors, of which one is larger than what is added up side by side.
async fn length(sizes: [usize; 3], device: &Device) -> Result<f64> {
    let mut sums = kernels::no_squares(device);
    for (seed, size) in sizes.into_iter().enumerate() {
        sums = kernels::add_squares(sums, input::<1>([size], seed + 1, device));
    }
    Ok(read(sums).await?.into_iter().map(f64::from).sum::<f64>().sqrt())
}

type Step = fn([Tensor<2>; 4], AdamWRates) -> [Tensor<2>; 3];

/// A product with integers.
async fn integers([n, width, out]: [usize; 3], device: &Device, linear: Linear) -> Result<Vec<f32>> {
    let weight: Vec<f32> = (0..out * width).map(|i| (i * 7919 % 2003) as f32 / 500.0 - 2.0).collect();
    let odd = || ClipError::DeviceFailed { message: format!("expected a width of eights, got {width}") };
    let weight = int8::quantized(&weight, width).ok_or_else(odd)?;
    let weight = Tensor::from_data(weight, device);
    read(linear(input([1, n, width], 1, device), weight, Some(input([out], 2, device)))).await
}

type Linear = fn(Tensor<3>, Tensor<2>, Option<Tensor<1>>) -> Tensor<3>;

/// A product with a weight in half precision, as a GPU keeps it; `transposed` as some layouts have it.
async fn halves([n, width, out]: [usize; 3], transposed: bool, device: &Device, linear: Linear) -> Result<Vec<f32>> {
    let (rows, columns) = if transposed { (out, width) } else { (width, out) };
    let weight = (0..rows * columns).map(|i| f16::from_f32((i * 7919 % 2003) as f32 / 500.0 - 2.0));
    let weight = TensorData::new(weight.collect::<Vec<f16>>(), [rows, columns]);
    let weight = Tensor::<2>::from_data(weight, (device, DType::F16));
    let weight = if transposed { weight.transpose() } else { weight };
    read(linear(input([1, n, width], 1, device), weight, Some(input([out], 2, device)))).await
}

/// Products of three pairs of matrices, of one matrix with three, and of three with one that lies across.
async fn products([m, k, n]: [usize; 3], device: &Device, matmul: Matmul) -> Result<Vec<f32>> {
    let (a, b) = (input([3, m, k], 1, device), input([3, k, n], 2, device));
    let across = input([1, n, k], 3, device).swap_dims(1, 2);
    let products = [matmul(a.clone(), b.clone()), matmul(a.clone().narrow(0, 1, 1), b), matmul(a, across)];
    read(Tensor::cat(products.into(), 0)).await
}

type Matmul = fn(Tensor<3>, Tensor<3>) -> Tensor<3>;

/// Refuses what is off by more than rounding.
fn compare(what: &str, got: &[f32], expected: &[f32]) -> Result<()> {
    compare_to(TOLERANCE, what, got, expected)
}

fn compare_to(tolerance: f32, what: &str, got: &[f32], expected: &[f32]) -> Result<()> {
    let largest = expected.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    let worst = got.iter().zip(expected).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    if got.len() == expected.len() && got.iter().all(|x| x.is_finite()) && worst <= tolerance * largest {
        return Ok(());
    }
    let message = format!("expected the CPU's {what}, got {} values, {worst:e} of {largest:e} off", got.len());
    Err(ClipError::DeviceFailed { message })
}

/// Holds every operation on `device` against its reference on the CPU.
///
/// # Errors
/// `device-failed`, naming the first operation that differs.
pub async fn check(device: &Device) -> Result<()> {
    // what learns in half precision, where the device has it
    let half: Preparation = |x| kernels::narrow(x, true);
    let rounded: Preparation = |x| kernels::widen(kernels::narrow(x, true));
    let has_half = device.supports_dtype(FloatDType::F16) && *device != cpu();
    for case in cases() {
        let mut runs: Vec<(&str, [Preparation; 2], f32)> = vec![("", [|x| x; 2], TOLERANCE)];
        if has_half && case.name.starts_with("linear") {
            runs.push((" in half precision", [half, rounded], HALF_TOLERANCE));
        }
        for (how, [of_ours, of_reference], tolerance) in runs {
            let got = run(&case, &case.ours, device, of_ours).await?;
            let expected = run(&case, &case.reference, &cpu(), of_reference).await?;
            for ((got, expected), what) in got.iter().zip(&expected).zip(["output", "of x", "of weight", "of bias"]) {
                compare_to(tolerance, &format!("{}{how}, {what}", case.name), got, expected)?;
            }
        }
    }
    for shape in [[1, 8, 4], [5, 24, 20], [9, 320, 36], [33, 512, 132], [70, 104, 8]] {
        let got = integers(shape, device, kernels::linear).await?;
        let expected = integers(shape, &cpu(), reference::linear).await?;
        compare(&format!("linear of integers {shape:?}"), &got, &expected)?;
    }
    // others would be widened by a kernel that the device must have half precision for, as it does where a weight is kept so
    for shape in [[1, 4, 4], [5, 12, 20], [33, 64, 132], [1288, 72, 1288]] {
        for transposed in [false, true] {
            let got = halves(shape, transposed, device, kernels::linear).await?;
            let expected = halves(shape, transposed, &cpu(), reference::linear).await?;
            // what is multiplied by matrices has x in half precision, too
            let tolerance = if shape[0] > 1000 { HALF_TOLERANCE } else { TOLERANCE };
            compare_to(tolerance, &format!("linear in half precision {shape:?} {transposed}"), &got, &expected)?;
        }
    }
    for shape in [[1, 4, 4], [5, 12, 20], [9, 7, 33], [33, 64, 132]] {
        let got = products(shape, device, kernels::matmul).await?;
        compare(&format!("products {shape:?}"), &got, &products(shape, &cpu(), Tensor::matmul).await?)?;
    }
    for shape in [[1, 4], [37, 12], [130, 64]] {
        let got = step(shape, device, kernels::adamw).await?;
        for (got, expected) in got.iter().zip(&step(shape, &cpu(), reference::adamw).await?) {
            compare(&format!("AdamW {shape:?}"), got, expected)?;
        }
    }
    let sizes = [5, 4096, 200_001];
    let mut squares = 0.0;
    for (seed, size) in sizes.into_iter().enumerate() {
        let values = read(input::<1>([size], seed + 1, &cpu())).await?;
        squares += values.into_iter().map(|x| f64::from(x).powi(2)).sum::<f64>();
    }
    compare("length", &[length(sizes, device).await? as f32], &[squares.sqrt() as f32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::block_on_cpu as now;

    #[test]
    fn the_cpu_agrees_with_its_reference() {
        now(check(&cpu())).unwrap();
    }

    #[test]
    fn what_is_off_is_refused() {
        compare("values", &[1.0, 2.0], &[1.0, 2.00001]).unwrap();
        for got in [&[1.0, 2.1][..], &[1.0, f32::NAN], &[1.0]] {
            compare("values", got, &[1.0, 2.0]).unwrap_err();
        }
    }
}
