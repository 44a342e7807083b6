//! Products of matrices, `c = a b + bias`: [`Blocks`] on hardware, [`Cooperative`] on hardware with matrix units, [`Registers`] on a
//! software rasterizer.
//!
//! `dims` of each: m, n, k; strides of a and b in `vec4`s; distances from one matrix of a batch to the next, in `vec4`s; for an 8-bit b
//! the number of scales a column. Workgroups in z are the matrices of a batch.

mod blocks;
#[cfg(any(test, not(target_family = "wasm")))]
mod cooperative;
mod registers;

use std::fmt::Write;

pub(in crate::gpu) use blocks::{Blocks, Tiling};
#[cfg(any(test, not(target_family = "wasm")))]
pub(in crate::gpu) use cooperative::{Cooperative, FRAGMENT, SUBGROUP_SIZE, Tiling as CooperativeTiling};
pub(in crate::gpu) use registers::Registers;

use super::{PACK_F16, UNPACK_F16};

/// Memory layout of an operand: K is the dimension summed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) enum Layout {
    /// K is contiguous.
    KContiguous,
    /// K is strided, the other dimension contiguous.
    KStrided,
}

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) enum Storage {
    F32,
    /// Two a word, converted to f32 when read.
    F16,
    /// 8-bit integers, four a word, with a scale for each column.
    Int8,
}

impl Storage {
    /// Picks the buffer's declaration, for [`Shader::buffers`](super::Shader::buffers).
    fn pick(self, [f32, f16, int8]: [&'static str; 3]) -> &'static str {
        match self {
            Self::F32 => f32,
            Self::F16 => f16,
            Self::Int8 => int8,
        }
    }

    /// Expression for four values as f32.
    fn read(self, at: &str) -> String {
        match self {
            Self::F32 => at.to_owned(),
            Self::F16 => format!("unpack_f16({at})"),
            Self::Int8 => format!("unpack4x8snorm({at})"),
        }
    }
}

/// A product `c = a b + bias`, of one pair of matrices or a batch of them. Sums are f32, whatever the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Gemm {
    pub(in crate::gpu) a: Layout,
    pub(in crate::gpu) b: Layout,
    /// Of a, b and c.
    pub(in crate::gpu) storage: [Storage; 3],
    pub(in crate::gpu) bias: bool,
}

impl Gemm {
    /// First lines of a body: dimensions, strides, and where this workgroup's matrices begin.
    const PROLOGUE: &str = "let m = dims[0]; let n = dims[1]; let k_size = dims[2]; let a_stride = dims[3]; let b_stride = dims[4];\n\
        let a_matrix = group.z * dims[5]; let b_matrix = group.z * dims[6]; let c_matrix = group.z * m;\n";

    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let [a, b, c] = self.storage;
        let mut inputs = vec![a.pick(["a", "a: vec2<u32>", "a: u32"]), b.pick(["b", "b: vec2<u32>", "b: u32"])];
        inputs.extend(self.bias.then_some("bias"));
        inputs.extend((b == Storage::Int8).then_some("scales: f32"));
        (inputs, vec![c.pick(["c", "c: vec2<u32>", "c: u32"])])
    }

    fn declarations(&self) -> String {
        let [a, b, c] = self.storage.map(|storage| storage == Storage::F16);
        let unpack = if a || b { UNPACK_F16 } else { "" };
        unpack.to_owned() + if c { PACK_F16 } else { "" }
    }

    /// Expression for four values of operand `name`.
    fn read(&self, name: char, at: &str) -> String {
        self.storage[usize::from(name == 'b')].read(&format!("{name}[{at}]"))
    }

    /// Writes the epilogue for the four columns at `column`, if they exist: scale, bias, store. `sums` calls its argument with the row and
    /// the sum of each row that the invocation has.
    fn epilogue(&self, text: &mut String, column: &str, sums: impl Fn(&mut String, &dyn Fn(&mut String, &str, &str))) {
        let _ = writeln!(text, "{{ let column = {column};\nif (column < n / 4u) {{");
        let [_, b, c] = self.storage;
        if b == Storage::Int8 {
            let scale = |i: usize| format!("scales[(4u * column + {i}u) * dims[7]]");
            // unpack4x8snorm divides by 127
            let _ = writeln!(text, "let scale = 127.0 * vec4({}, {}, {}, {});", scale(0), scale(1), scale(2), scale(3));
        }
        let scale = if b == Storage::Int8 { " * scale" } else { "" };
        let bias = if self.bias { " + bias[column]" } else { "" };
        let pack = if c == Storage::F32 { "" } else { "pack_f16" };
        sums(text, &|text, row, sum| {
            let _ = writeln!(
                text,
                "{{ let row = {row}; if (row < m) {{ c[(c_matrix + row) * (n / 4u) + column] = {pack}({sum}{scale}{bias}); }} }}"
            );
        });
        text.push_str("} }\n");
    }

    /// All products that the operations ask for.
    #[cfg(test)]
    fn variants() -> Vec<Self> {
        use Layout::{KContiguous, KStrided};
        use Storage::{F16, F32, Int8};
        let mut variants = Vec::new();
        for a in [KContiguous, KStrided] {
            for b in [KContiguous, KStrided] {
                for bias in [false, true] {
                    for storage in [
                        [F32, F32, F32],
                        [F32, F16, F32],
                        [F16, F32, F16],
                        [F16, F16, F16],
                        [F16, F16, F32],
                        [F16, F32, F32],
                    ] {
                        variants.push(Self { a, b, storage, bias });
                    }
                }
            }
        }
        variants.push(Self { a: KContiguous, b: KContiguous, storage: [F32, Int8, F32], bias: true });
        variants
    }
}
