//! Matrix products in WGSL: each invocation keeps a tile of the result in registers, and reads four values at a time.
//!
//! No workgroup memory and no barrier: what neighbours read alike comes from the cache, and a software rasteriser, which pays
//! some thirty instructions for a value read and stands still at a barrier, is bound by reads a multiply-add. Hence its
//! larger tile; on a GPU a smaller one leaves enough invocations for one image.

use std::fmt::Write;

use burn::backend::Cube;
use burn::backend::ops::FloatTensorOps;
use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::shader::{Shader, empty, in_software, launch};

/// How a factor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lies {
    /// What is summed over is side by side.
    Along,
    /// What is not.
    Across,
}

/// What the right factor is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kept {
    F32,
    /// Two a word, widened exactly; no device needs half precision for that.
    F16,
    /// 8-bit integers, four a word, each column of them with a scale.
    Int8,
}

/// `c = a b + bias`, of one pair of matrices or of many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Product {
    a: Lies,
    b: Lies,
    bias: bool,
    kept: Kept,
    /// Rows and columns of a tile, multiples of four.
    tile: [usize; 2],
    workgroup: [u32; 2],
}

impl Product {
    /// Values of the sum that a turn of the loop takes.
    fn step(&self) -> usize {
        if self.a == Lies::Along || self.b == Lies::Along { 4 } else { 1 }
    }

    /// Loads what a turn needs of one factor: `sides` of its rows or columns, bounded by the last one.
    fn loads(&self, text: &mut String, name: char, lies: Lies, sides: usize) {
        let count = if lies == Lies::Along { sides } else { sides / 4 };
        for turn in 0..if lies == Lies::Along { 1 } else { self.step() } {
            for i in 0..count {
                let at = match lies {
                    Lies::Along => format!("{name}_at{i} + k / 4u"),
                    Lies::Across => format!("{name}_at{i} + (k + {turn}u) * {name}_stride"),
                };
                let value = match self.kept {
                    Kept::Int8 if name == 'b' => format!("unpack4x8snorm(b[{at}])"),
                    Kept::F16 if name == 'b' => format!("vec4(unpack2x16float(b[{at}].x), unpack2x16float(b[{at}].y))"),
                    _ => format!("{name}[{at}]"),
                };
                let _ = writeln!(text, "let {name}{turn}_{i} = {value};");
            }
        }
    }

    /// Where the tile's rows or columns begin, in `vec4`s.
    fn places(text: &mut String, name: char, lies: Lies, sides: usize, count: &str) {
        let (places, last) = match lies {
            Lies::Along => (sides, format!("{count} - 1u")),
            Lies::Across => (sides / 4, format!("{count} / 4u - 1u")),
        };
        for i in 0..places {
            let place = match lies {
                Lies::Along => format!("min({name}_first + {i}u, {last}) * {name}_stride"),
                Lies::Across => format!("min({name}_first / 4u + {i}u, {last})"),
            };
            let place = format!("group.z * {name}_matrix + {place}");
            let _ = writeln!(text, "let {name}_at{i} = {place};");
        }
    }
}

impl Shader for Product {
    fn buffers(&self) -> (&'static [&'static str], &'static [&'static str]) {
        let inputs: &[&str] = match (self.kept, self.bias) {
            (Kept::Int8, _) => &["a", "b: u32", "bias", "scales: f32"],
            (Kept::F16, true) => &["a", "b: vec2<u32>", "bias"],
            (Kept::F16, false) => &["a", "b: vec2<u32>"],
            (Kept::F32, true) => &["a", "b", "bias"],
            (Kept::F32, false) => &["a", "b"],
        };
        (inputs, &["c"])
    }

    fn workgroup(&self) -> [u32; 3] {
        [self.workgroup[0], self.workgroup[1], 1]
    }

    fn body(&self) -> String {
        let [rows, columns] = self.tile;
        let mut text = format!(
            "let m = dims[0]; let n = dims[1]; let sum = dims[2]; let a_stride = dims[3]; let b_stride = dims[4];\n\
             let a_matrix = dims[5]; let b_matrix = dims[6]; let c_first = group.z * m;\n\
             let a_first = id.y * {rows}u; let b_first = id.x * {columns}u;\n\
             if (a_first >= m || b_first >= n) {{ return; }}\n"
        );
        Self::places(&mut text, 'a', self.a, rows, "m");
        Self::places(&mut text, 'b', self.b, columns, "n");
        for row in 0..rows {
            for v in 0..columns / 4 {
                let _ = writeln!(text, "var c{row}_{v} = vec4<f32>();");
            }
        }
        let _ = writeln!(text, "for (var k = 0u; k < sum; k += {}u) {{", self.step());
        self.loads(&mut text, 'a', self.a, rows);
        self.loads(&mut text, 'b', self.b, columns);
        for k in 0..self.step() {
            for row in 0..rows {
                let a = match self.a {
                    Lies::Along => format!("a0_{row}[{k}]"),
                    Lies::Across => format!("a{k}_{}[{}]", row / 4, row % 4),
                };
                for v in 0..columns / 4 {
                    let b = match self.b {
                        Lies::Along => {
                            let column = |i: usize| format!("b0_{}[{k}]", 4 * v + i);
                            format!("vec4({}, {}, {}, {})", column(0), column(1), column(2), column(3))
                        }
                        Lies::Across => format!("b{k}_{v}"),
                    };
                    let _ = writeln!(text, "c{row}_{v} = fma(vec4({a}), {b}, c{row}_{v});");
                }
            }
        }
        text += "}\n";
        for v in 0..columns / 4 {
            let _ = writeln!(text, "let column{v} = b_first / 4u + {v}u;\nif (column{v} < n / 4u) {{");
            let int8 = self.kept == Kept::Int8;
            if int8 {
                let scale = |i: usize| format!("scales[(4u * column{v} + {i}u) * dims[7]]");
                // unpacking divides by 127
                let _ =
                    writeln!(text, "let scale = 127.0 * vec4({}, {}, {}, {});", scale(0), scale(1), scale(2), scale(3));
            }
            let scale = if int8 { " * scale" } else { "" };
            let bias = if self.bias { format!(" + bias[column{v}]") } else { String::new() };
            for row in 0..rows {
                let _ = writeln!(
                    text,
                    "if (a_first + {row}u < m) {{ c[(c_first + a_first + {row}u) * (n / 4u) + column{v}] = c{row}_{v}{scale}{bias}; }}"
                );
            }
            text += "}\n";
        }
        text
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

impl Product {
    /// The shader that suits the device.
    fn on(device: &CubeTensor, [a, b]: [Lies; 2], bias: bool, kept: Kept) -> Self {
        let (tile, workgroup) = if in_software(device) { ([8, 8], [16, 1]) } else { ([4, 4], [8, 8]) };
        Self { a, b, bias, kept, tile, workgroup }
    }

    /// Runs it; `dims` are rows and columns of the result and whatever else the shader asks for.
    fn launch(self, inputs: &[&CubeTensor], dims: &[usize], count: usize) -> CubeTensor {
        let (m, n) = (dims[0], dims[1]);
        let ([rows, columns], [x, y]) = (self.tile, self.workgroup.map(|count| count as usize));
        let out = empty(inputs[0], [count * m, n]);
        launch(self, inputs, &[&out], dims, [n.div_ceil(columns * x), m.div_ceil(rows * y), count]);
        out
    }
}

fn product(a: Matrix, b: Matrix, bias: Option<CubeTensor>) -> CubeTensor {
    let ([m, sum], n) = (a.dims, b.dims[1]);
    let ((a_lies, a_stride), (b_lies, b_stride)) = (a.lies(1), b.lies(0));
    let inputs: Vec<&CubeTensor> = [&a.tensor, &b.tensor].into_iter().chain(&bias).collect();
    let kept = if b.tensor.dtype == DType::F16 { Kept::F16 } else { Kept::F32 };
    let shader = Product::on(&a.tensor, [a_lies, b_lies], bias.is_some(), kept);
    let dims = [m, n, sum, a_stride / 4, b_stride / 4, a.step() / 4, b.step() / 4];
    shader.launch(&inputs, &dims, a.count.max(b.count))
}

/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`, f32 or f16; bias: `[out]`
/// - output: `[n, out]`
pub(super) fn forward(x: CubeTensor, weight: CubeTensor, bias: CubeTensor) -> CubeTensor {
    product(Matrix::new(x), Matrix::new(weight), Some(into_contiguous(bias)))
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
    let shader = Product::on(&x, [Lies::Along; 2], true, Kept::Int8);
    shader.launch(&[&x, &weight, &bias, &scales], &[m, n, sum, sum / 4, stride, 0, 0, scales.meta.strides()[0]], 1)
}

/// Products of pairs of matrices.
///
/// # Shapes
/// - a: `[batch, m, k]`; b: `[batch, k, n]`; the batch of either may be 1; k and n in fours
/// - output: `[batch, m, n]`
pub(super) fn matmul(a: CubeTensor, b: CubeTensor) -> CubeTensor {
    let (a, b) = (Matrix::new(a), Matrix::new(b));
    let (batch, [m, _], [_, n]) = (a.count.max(b.count), a.dims, b.dims);
    Cube::float_reshape(product(a, b, None), [batch, m, n].into())
}

/// Gradient of x: `grad Wᵀ`.
///
/// # Shapes
/// - weight: `[in, out]`; grad: `[n, out]`
/// - output: `[n, in]`
pub(super) fn backward_x(weight: CubeTensor, grad: CubeTensor) -> CubeTensor {
    product(Matrix::new(grad), Matrix::new(weight).t(), None)
}

/// Gradient of the weight: `xᵀ grad`.
///
/// # Shapes
/// - x: `[n, in]`; grad: `[n, out]`
/// - output: `[in, out]`
pub(super) fn backward_weight(x: CubeTensor, grad: CubeTensor) -> CubeTensor {
    product(Matrix::new(into_contiguous(x)).t(), Matrix::new(into_contiguous(grad)), None)
}
