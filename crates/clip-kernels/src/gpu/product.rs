//! Matrix products in WGSL: [`blocks`] on hardware, `cooperative` where it multiplies halves by matrices, [`registers`] on a software
//! rasteriser.

mod blocks;
#[cfg(not(target_family = "wasm"))]
pub(super) mod cooperative;
mod registers;

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::shader::{HALVES, WIDENED, empty_of, in_software, launch};
use blocks::{Blocks, Size};
#[cfg(not(target_family = "wasm"))]
use cooperative::Cooperative;
use registers::Registers;

/// Whether blocks of every size compute each product, one after the other, so that all of them get compiled.
static EVERY_SIZE: AtomicBool = AtomicBool::new(false);

/// Has products on hardware compiled for batches of any size, from now on or no more.
pub fn compile_every_size(every: bool) {
    EVERY_SIZE.store(every, Ordering::Relaxed);
}

/// How a factor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lies {
    /// What is summed over is side by side.
    Along,
    /// What is not.
    Across,
}

/// What a factor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kept {
    F32,
    /// Two a word, widened where they are read.
    F16,
    /// 8-bit integers, four a word, each column of them with a scale.
    Int8,
}

impl Kept {
    /// A buffer of so named values, for [`Shader::buffers`](super::shader::Shader::buffers).
    fn buffer(self, [f32, f16, int8]: [&'static str; 3]) -> &'static str {
        match self {
            Self::F32 => f32,
            Self::F16 => f16,
            Self::Int8 => int8,
        }
    }

    /// Four values.
    fn read(self, at: &str) -> String {
        match self {
            Self::F32 => at.to_owned(),
            Self::F16 => format!("widened({at})"),
            Self::Int8 => format!("unpack4x8snorm({at})"),
        }
    }

    fn of(tensor: &CubeTensor) -> Self {
        if tensor.dtype == DType::F16 { Self::F16 } else { Self::F32 }
    }
}

/// What a shader knows of `c = a b + bias`, of one pair of matrices or of many. Sums are f32, whatever comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Factors {
    /// How the factors lie.
    a: Lies,
    b: Lies,
    /// What they and the result are made of.
    kept: [Kept; 3],
    bias: bool,
}

impl Factors {
    /// First lines of a body: sides, strides in `vec4`s, and where this workgroup's matrices begin.
    const DIMS: &str = "let m = dims[0]; let n = dims[1]; let sum = dims[2]; let a_stride = dims[3]; let b_stride = dims[4];\n\
        let a_matrix = group.z * dims[5]; let b_matrix = group.z * dims[6]; let c_matrix = group.z * m;\n";

    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let [a, b, c] = self.kept;
        let mut inputs = vec![a.buffer(["a", "a: vec2<u32>", "a: u32"]), b.buffer(["b", "b: vec2<u32>", "b: u32"])];
        inputs.extend(self.bias.then_some("bias"));
        inputs.extend((b == Kept::Int8).then_some("scales: f32"));
        (inputs, vec![c.buffer(["c", "c: vec2<u32>", "c: u32"])])
    }

    fn declarations(&self) -> String {
        let [a, b, c] = self.kept.map(|kept| kept == Kept::F16);
        let widened = if a || b { WIDENED } else { "" };
        widened.to_owned() + if c { HALVES } else { "" }
    }

    /// Four values of a factor.
    fn read(&self, name: char, at: &str) -> String {
        self.kept[usize::from(name == 'b')].read(&format!("{name}[{at}]"))
    }

    /// Writes sums of the four columns at `column`, where there are such: `sums` says of which row, and what.
    fn finish(&self, text: &mut String, column: &str, sums: impl Fn(&mut String, &dyn Fn(&mut String, &str, &str))) {
        let _ = writeln!(text, "{{ let column = {column};\nif (column < n / 4u) {{");
        let [_, b, c] = self.kept;
        if b == Kept::Int8 {
            let scale = |i: usize| format!("scales[(4u * column + {i}u) * dims[7]]");
            // unpacking divides by 127
            let _ = writeln!(text, "let scale = 127.0 * vec4({}, {}, {}, {});", scale(0), scale(1), scale(2), scale(3));
        }
        let scale = if b == Kept::Int8 { " * scale" } else { "" };
        let bias = if self.bias { " + bias[column]" } else { "" };
        let kept = if c == Kept::F32 { "" } else { "halves" };
        sums(text, &|text, row, sum| {
            let _ = writeln!(
                text,
                "{{ let row = {row}; if (row < m) {{ c[(c_matrix + row) * (n / 4u) + column] = {kept}({sum}{scale}{bias}); }} }}"
            );
        });
        text.push_str("} }\n");
    }

    /// Runs the shader that suits the device; `dims` are rows and columns of the result and whatever else the shader asks for.
    fn launch(self, inputs: &[&CubeTensor], dims: &[usize], count: usize) -> CubeTensor {
        let (m, n) = (dims[0], dims[1]);
        let dtype = if self.kept[2] == Kept::F32 { DType::F32 } else { DType::F16 };
        let out = empty_of(inputs[0], [count * m, n], dtype);
        #[cfg(not(target_family = "wasm"))]
        if let Some(size) = cooperative::Size::suited(inputs[0], &self, dims, count) {
            let [x, y] = size.groups([m, n]);
            launch(Cooperative { factors: self, size }, inputs, &[&out], dims, [x, y, count]);
            return out;
        }
        if in_software(inputs[0]) {
            let [x, y] = Registers::groups([m, n]);
            launch(Registers(self), inputs, &[&out], dims, [x, y, count]);
        } else {
            let suited = Size::suited([m, n], count);
            let every = EVERY_SIZE.load(Ordering::Relaxed);
            for size in Size::ALL.into_iter().filter(|&size| every || size == suited) {
                let [x, y] = size.groups([m, n]);
                launch(Blocks { factors: self, size }, inputs, &[&out], dims, [x, y, count]);
            }
        }
        out
    }
}

/// A matrix, or several of one shape, whose rows or whose columns lie in one piece each, every one where a `vec4` may begin.
struct Matrix {
    tensor: CubeTensor,
    dims: [usize; 2],
    /// Elements from one row to the next, and from one column to the next.
    strides: [usize; 2],
    count: usize,
    /// Elements from one matrix to the next.
    apart: usize,
}

impl Matrix {
    /// Of `[rows, columns]` or `[count, rows, columns]`.
    fn new(tensor: CubeTensor) -> Self {
        let fits = |strides: &[usize]| match strides {
            [apart @ .., stride, 1] | [apart @ .., 1, stride] => {
                stride % 4 == 0 && apart.iter().all(|apart| apart % 4 == 0)
            }
            _ => false,
        };
        let tensor = if fits(tensor.meta.strides()) { tensor } else { into_contiguous(tensor) };
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        let first = shape.num_dims() - 2;
        let (count, apart) = if first == 0 { (1, 0) } else { (shape[0], strides[0]) };
        let (dims, strides) = ([shape[first], shape[first + 1]], [strides[first], strides[first + 1]]);
        Self { tensor, dims, strides, count, apart }
    }

    /// Elements from the factor of one product to that of the next.
    fn step(&self) -> usize {
        if self.count == 1 { 0 } else { self.apart }
    }

    /// Rows and columns exchanged; no value moves.
    fn t(self) -> Self {
        let ([rows, columns], [row, column]) = (self.dims, self.strides);
        Self { dims: [columns, rows], strides: [column, row], ..self }
    }

    /// Of the dimension summed over, and of the other.
    fn lies(&self, summed: usize) -> (Lies, usize) {
        if self.strides[summed] == 1 {
            (Lies::Along, self.strides[1 - summed])
        } else {
            (Lies::Across, self.strides[summed])
        }
    }
}

/// `a b + bias`, kept as `c`.
fn product(a: Matrix, b: Matrix, bias: Option<CubeTensor>, c: Kept) -> CubeTensor {
    let ([m, sum], n) = (a.dims, b.dims[1]);
    let ((a_lies, a_stride), (b_lies, b_stride)) = (a.lies(1), b.lies(0));
    let inputs: Vec<&CubeTensor> = [&a.tensor, &b.tensor].into_iter().chain(&bias).collect();
    let kept = [Kept::of(&a.tensor), Kept::of(&b.tensor), c];
    let factors = Factors { a: a_lies, b: b_lies, kept, bias: bias.is_some() };
    let dims = [m, n, sum, a_stride / 4, b_stride / 4, a.step() / 4, b.step() / 4];
    factors.launch(&inputs, &dims, a.count.max(b.count))
}

/// # Shapes
/// - x: `[n, in]`, f32 or f16; weight: `[in, out]`, either, too; bias: `[out]`
/// - output: `[n, out]`, as x
pub(super) fn forward(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let kept = Kept::of(&x);
    product(Matrix::new(x), Matrix::new(weight), Some(into_contiguous(bias)), kept)
}

/// As [`forward`], of integers.
///
/// # Shapes
/// - x: `[n, in]`; weight: `[out, in]`; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward_int8(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
    let (x, bias) = (into_contiguous(x), into_contiguous(bias));
    let (m, n, sum) = (x.meta.shape()[0], weight.meta.shape()[0], weight.meta.shape()[1]);
    // a word holds four, as a vec4 does
    let stride = weight.meta.strides()[0];
    let Some(scales) = weight.scales() else { unreachable!("a quantised tensor has scales") };
    let kept = [Kept::F32, Kept::Int8, Kept::F32];
    let factors = Factors { a: Lies::Along, b: Lies::Along, kept, bias: true };
    factors.launch(&[&x, &weight, &bias, &scales], &[m, n, sum, sum / 4, stride, 0, 0, scales.meta.strides()[0]], 1)
}

/// Products of pairs of matrices.
///
/// # Shapes
/// - a: `[batch, m, k]`; b: `[batch, k, n]`; the batch of either may be 1; k and n in fours
/// - output: `[batch, m, n]`
pub(super) fn matmul(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let (a, b) = (Matrix::new(a), Matrix::new(b));
    let (batch, [m, _], [_, n]) = (a.count.max(b.count), a.dims, b.dims);
    Cube::float_reshape(product(a, b, None, Kept::F32), [batch, m, n].into())
}

/// Gradient of x: `grad Wᵀ`.
///
/// # Shapes
/// - weight: `[in, out]`; grad: `[n, out]`
/// - output: `[n, in]`, as grad
pub(super) fn backward_x(weight: CubeTensor, grad: CubeTensor) -> CubeTensor {
    let kept = Kept::of(&grad);
    product(Matrix::new(grad), Matrix::new(weight).t(), None, kept)
}

/// Gradient of the weight: `xᵀ grad`.
///
/// # Shapes
/// - x: `[n, in]`; grad: `[n, out]`
/// - output: `[in, out]`, f32
pub(super) fn backward_weight(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
    product(Matrix::new(into_contiguous(x)).t(), Matrix::new(into_contiguous(grad)), None, Kept::F32)
}
