//! Matrix products in WGSL: each invocation keeps a tile of the result in registers, and reads four values at a time.
//!
//! No workgroup memory and no barrier: what neighbours read alike comes from the cache, and a software rasteriser, which pays
//! some thirty instructions for a value read and stands still at a barrier, is bound by reads a multiply-add. Hence its
//! larger tile; on a GPU a smaller one leaves enough invocations for one image.

use std::fmt::Write;

use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{Shader, empty, in_software, launch};

/// How a factor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lies {
    /// What is summed over is side by side.
    Along,
    /// What is not.
    Across,
}

/// `c = a b + bias`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Product {
    a: Lies,
    b: Lies,
    bias: bool,
    /// Whether b is of 8-bit integers, four a word, each column of them with a scale.
    int8: bool,
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
                let value =
                    if self.int8 && name == 'b' { format!("unpack4x8snorm(b[{at}])") } else { format!("{name}[{at}]") };
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
            let _ = writeln!(text, "let {name}_at{i} = {place};");
        }
    }
}

impl Shader for Product {
    fn buffers(&self) -> (&'static [&'static str], &'static [&'static str]) {
        let inputs: &[&str] = match (self.int8, self.bias) {
            (true, _) => &["a", "b: u32", "bias", "scales: f32"],
            (false, true) => &["a", "b", "bias"],
            (false, false) => &["a", "b"],
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
            if self.int8 {
                let scale = |i: usize| format!("scales[(4u * column{v} + {i}u) * dims[5]]");
                // unpacking divides by 127
                let _ =
                    writeln!(text, "let scale = 127.0 * vec4({}, {}, {}, {});", scale(0), scale(1), scale(2), scale(3));
            }
            let scale = if self.int8 { " * scale" } else { "" };
            let bias = if self.bias { format!(" + bias[column{v}]") } else { String::new() };
            for row in 0..rows {
                let _ = writeln!(
                    text,
                    "if (a_first + {row}u < m) {{ c[(a_first + {row}u) * (n / 4u) + column{v}] = c{row}_{v}{scale}{bias}; }}"
                );
            }
            text += "}\n";
        }
        text
    }
}

/// A matrix whose rows or whose columns lie in one piece each, every one where a `vec4` may begin.
struct Matrix {
    tensor: CubeTensor,
    dims: [usize; 2],
    /// Elements from one row to the next, and from one column to the next.
    strides: [usize; 2],
}

impl Matrix {
    fn new(tensor: CubeTensor) -> Self {
        let fits = |strides: &[usize]| match strides {
            [stride, 1] | [1, stride] => stride % 4 == 0,
            _ => false,
        };
        let tensor = if fits(tensor.meta.strides()) { tensor } else { into_contiguous(tensor) };
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        let (dims, strides) = ([shape[0], shape[1]], [strides[0], strides[1]]);
        Self { tensor, dims, strides }
    }

    /// Rows and columns exchanged; no value moves.
    fn t(self) -> Self {
        let ([rows, columns], [row, column]) = (self.dims, self.strides);
        Self { tensor: self.tensor, dims: [columns, rows], strides: [column, row] }
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
    fn on(device: &CubeTensor, [a, b]: [Lies; 2], bias: bool, int8: bool) -> Self {
        let (tile, workgroup) = if in_software(device) { ([8, 8], [16, 1]) } else { ([4, 4], [8, 8]) };
        Self { a, b, bias, int8, tile, workgroup }
    }

    /// Runs it; `dims` are rows and columns of the result and whatever else the shader asks for.
    fn launch(self, inputs: &[&CubeTensor], dims: &[usize]) -> CubeTensor {
        let (m, n) = (dims[0], dims[1]);
        let ([rows, columns], [x, y]) = (self.tile, self.workgroup.map(|count| count as usize));
        let out = empty(inputs[0], [m, n]);
        launch(self, inputs, &[&out], dims, [n.div_ceil(columns * x), m.div_ceil(rows * y), 1]);
        out
    }
}

fn product(a: Matrix, b: Matrix, bias: Option<CubeTensor>) -> CubeTensor {
    let ([m, sum], n) = (a.dims, b.dims[1]);
    let ((a_lies, a_stride), (b_lies, b_stride)) = (a.lies(1), b.lies(0));
    let inputs: Vec<&CubeTensor> = [&a.tensor, &b.tensor].into_iter().chain(&bias).collect();
    let shader = Product::on(&a.tensor, [a_lies, b_lies], bias.is_some(), false);
    shader.launch(&inputs, &[m, n, sum, a_stride / 4, b_stride / 4])
}

/// # Shapes
/// - x: `[n, in]`; weight: `[in, out]`; bias: `[out]`
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
    let shader = Product::on(&x, [Lies::Along; 2], true, true);
    shader.launch(&[&x, &weight, &bias, &scales], &[m, n, sum, sum / 4, stride, scales.meta.strides()[0]])
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
