//! Products in half precision on matrix units (tensor cores): a workgroup loads a block of each operand into its memory as f16, and
//! each subgroup multiplies fragments of 16 × 16 of them, accumulated in f32. Native only: WGSL has no cooperative matrices, wgpu has
//! them as an extension.

use std::fmt::Write;

use super::super::Shader;
use super::{Gemm, Layout, Storage};

/// Rows and columns of the matrices that a subgroup multiplies.
pub(in crate::gpu) const FRAGMENT: usize = 16;
/// Invocations of a subgroup.
pub(in crate::gpu) const SUBGROUP_SIZE: usize = 32;
/// Values of one read: two `vec4`s.
const PIECE: usize = 8;
/// Pieces of padding between the rows of a block, so that they begin in different memory banks.
const PADDING: usize = 1;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Cooperative {
    pub(in crate::gpu) gemm: Gemm,
    pub(in crate::gpu) tiling: Tiling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Tiling {
    /// Rows and columns of a workgroup's block of the result.
    block: [usize; 2],
    /// Rows and columns of a subgroup's tile of the block.
    tile: [usize; 2],
    /// Values of K that are loaded at a time, a multiple of [`FRAGMENT`].
    block_k: usize,
}

impl Tiling {
    const LARGE: Self = Self { block: [128, 128], tile: [64, 32], block_k: 64 };
    const SMALL: Self = Self { block: [64, 64], tile: [32, 32], block_k: 64 };
    /// Bytes of workgroup memory that the larger one takes.
    pub(in crate::gpu) const MAX_MEMORY: usize = 46 * 1024;
    /// Fewest large workgroups that keep a large GPU busy.
    const MIN_LARGE: usize = 96;
    /// Fewest small workgroups that are faster than [`Blocks`](super::Blocks) that split K.
    const MIN_SMALL: usize = 40;

    /// The fastest one for `count` results. `None` if both operands are f32, b is 8-bit, the shapes are not multiples of [`PIECE`], or
    /// [`Blocks`](super::Blocks) is as fast. `dims` as in [`super`].
    pub(in crate::gpu) fn select(gemm: &Gemm, dims: &[usize], count: usize) -> Option<Self> {
        let [a, b, _] = gemm.storage;
        let half = (a == Storage::F16 || b == Storage::F16) && b != Storage::Int8;
        // the contiguous dimensions in values, the strides in vec4s
        let in_pieces = dims[1..3].iter().all(|dim| dim % PIECE == 0)
            && (gemm.a == Layout::KContiguous || dims[0].is_multiple_of(PIECE))
            && dims[3..].iter().all(|vec4s| vec4s % 2 == 0);
        if !half || !in_pieces {
            return None;
        }
        let workgroups = |tiling: Self| tiling.workgroups([dims[0], dims[1]]).iter().product::<usize>() * count;
        if workgroups(Self::LARGE) >= Self::MIN_LARGE {
            Some(Self::LARGE)
        } else {
            (workgroups(Self::SMALL) >= Self::MIN_SMALL).then_some(Self::SMALL)
        }
    }

    /// Workgroups in x and y for an m × n result.
    pub(in crate::gpu) fn workgroups(&self, [m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(self.block[1]), m.div_ceil(self.block[0])]
    }

    /// Subgroups of a block in x and y.
    fn subgroups(&self) -> [usize; 2] {
        [self.block[1] / self.tile[1], self.block[0] / self.tile[0]]
    }

    /// Invocations of a workgroup.
    fn invocations(&self) -> usize {
        SUBGROUP_SIZE * self.subgroups().iter().product::<usize>()
    }
}

/// The block of a or b, in the layout that the operand has in memory.
struct Block {
    name: char,
    layout: Layout,
    storage: Storage,
    /// Rows of a or columns of b in the block, and in a subgroup's tile.
    extent: usize,
    tile: usize,
    /// WGSL name of their number in the whole matrix.
    total: char,
    tiling: Tiling,
}

impl Block {
    /// Pieces of a contiguous row, and number of rows.
    fn rows(&self) -> [usize; 2] {
        match self.layout {
            Layout::KContiguous => [self.tiling.block_k / PIECE, self.extent],
            Layout::KStrided => [self.extent / PIECE, self.tiling.block_k],
        }
    }

    /// Pieces from one row to the next.
    fn stride(&self) -> usize {
        self.rows()[0] + PADDING
    }

    /// Pieces of the block, padding included.
    fn pieces(&self) -> usize {
        self.stride() * self.rows()[1]
    }

    /// Pieces that each invocation loads.
    fn loads(&self) -> usize {
        self.extent * self.tiling.block_k / PIECE / self.tiling.invocations()
    }

    /// WGSL type of a piece in memory.
    fn piece(&self) -> &'static str {
        if self.storage == Storage::F16 { "array<vec4<f16>, 2>" } else { "array<vec4<f32>, 2>" }
    }

    /// Declares for each of this invocation's pieces its value, its offset in memory, and its offset in the block.
    fn declare(&self, text: &mut String) {
        let (name, [pieces, _], stride) = (self.name, self.rows(), self.stride());
        for i in 0..self.loads() {
            let index = format!("(index + {}u)", i * self.tiling.invocations());
            let (row, piece) = (format!("({index} / {pieces}u)"), format!("({index} % {pieces}u)"));
            let (from, inner) = match self.layout {
                Layout::KContiguous => {
                    (format!("min({name}_first + {row}, {} - 1u) * ({name}_stride / 2u)", self.total), piece.clone())
                }
                Layout::KStrided => {
                    (format!("min({name}_first / {PIECE}u + {piece}, {} / {PIECE}u - 1u)", self.total), row.clone())
                }
            };
            let _ = writeln!(
                text,
                "var {name}_next{i}: {}; let {name}_from{i} = {name}_matrix / 2u + {from}; let {name}_inner{i} = {inner};\n\
                 let {name}_to{i} = {row} * {stride}u + {piece};",
                self.piece()
            );
        }
    }

    /// Reads this invocation's pieces of the block that begins at `k`; beyond the end of K, the last ones.
    fn read(&self, text: &mut String) {
        let name = self.name;
        for i in 0..self.loads() {
            let inner = match self.layout {
                Layout::KContiguous => format!("min(k / {PIECE}u + {name}_inner{i}, k_size / {PIECE}u - 1u)"),
                Layout::KStrided => format!("min(k + {name}_inner{i}, k_size - 1u) * ({name}_stride / 2u)"),
            };
            let _ = writeln!(text, "{name}_next{i} = {name}[{name}_from{i} + {inner}];");
        }
    }

    /// Writes what was read to workgroup memory as f16; zero beyond the end of K.
    fn store(&self, text: &mut String) {
        let name = self.name;
        for i in 0..self.loads() {
            let inside = match self.layout {
                Layout::KContiguous => format!("k / {PIECE}u + {name}_inner{i} < k_size / {PIECE}u"),
                Layout::KStrided => format!("k + {name}_inner{i} < k_size"),
            };
            let four = |j: usize| {
                let next = format!("{name}_next{i}[{j}]");
                let next = if self.storage == Storage::F16 { next } else { format!("to_f16({next})") };
                format!("select(vec4<f16>(), {next}, {inside})")
            };
            let _ = writeln!(text, "{name}_block[{name}_to{i}] = array<vec4<f16>, 2>({}, {});", four(0), four(1));
        }
    }

    /// Loads the fragments of a subgroup's tile at `k` of the block.
    fn load(&self, text: &mut String, k: usize) {
        let (name, stride) = (self.name, self.stride());
        let role = self.name.to_ascii_uppercase();
        // coopLoadT reads a row-major matrix, coopLoad a column-major one
        let row_major = if (name == 'a') == (self.layout == Layout::KContiguous) { "T" } else { "" };
        for i in (0..self.tile).step_by(FRAGMENT) {
            let at = match self.layout {
                Layout::KContiguous => format!("({name}_tile + {i}u) * {stride}u + {}u", k / PIECE),
                Layout::KStrided => format!("{}u + ({name}_tile + {i}u) / {PIECE}u", k * stride),
            };
            let _ = writeln!(
                text,
                "let {name}{i} = coopLoad{row_major}<coop_mat16x16<f16, {role}>>(&{name}_block[{at}][0], {}u);",
                stride * PIECE / 4
            );
        }
    }
}

impl Cooperative {
    fn blocks(&self) -> [Block; 2] {
        let (Gemm { a, b, storage, .. }, tiling) = (self.gemm, self.tiling);
        let block = |name, layout, storage, i: usize, total| Block {
            name,
            layout,
            storage,
            extent: tiling.block[i],
            tile: tiling.tile[i],
            total,
            tiling,
        };
        [block('a', a, storage[0], 0, 'm'), block('b', b, storage[1], 1, 'n')]
    }
}

/// A subgroup's accumulators: names, and first row and column in its tile.
fn accumulators([rows, columns]: [usize; 2]) -> impl Iterator<Item = (String, [usize; 2])> {
    let rows = (0..rows).step_by(FRAGMENT);
    rows.flat_map(move |row| {
        (0..columns).step_by(FRAGMENT).map(move |column| (format!("c{row}_{column}"), [row, column]))
    })
}

impl Shader for Cooperative {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut inputs, outputs) = self.gemm.buffers();
        for input in &mut inputs {
            *input = match *input {
                "a" => "a: array<vec4<f32>, 2>",
                "b" => "b: array<vec4<f32>, 2>",
                "a: vec2<u32>" => "a: array<vec4<f16>, 2>",
                "b: vec2<u32>" => "b: array<vec4<f16>, 2>",
                other => other,
            };
        }
        (inputs, outputs)
    }

    fn directives(&self) -> &'static str {
        "enable f16;\nenable wgpu_cooperative_matrix;\n"
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [SUBGROUP_SIZE as u32, (self.tiling.invocations() / SUBGROUP_SIZE) as u32, 1]
    }

    fn declarations(&self) -> String {
        let block = |block: Block| {
            format!("var<workgroup> {}_block: array<array<vec4<f16>, 2>, {}>;\n", block.name, block.pieces())
        };
        let scratch = self.tiling.invocations() / SUBGROUP_SIZE * FRAGMENT * FRAGMENT / 4;
        // to_f16 clamps to the largest finite f16
        self.blocks().map(block).concat()
            + &format!("var<workgroup> scratch: array<vec4<f32>, {scratch}>;\n")
            + "fn to_f16(x: vec4<f32>) -> vec4<f16> { return vec4<f16>(clamp(x, vec4(-65504.0), vec4(65504.0))); }\n"
            + &self.gemm.declarations()
    }

    fn body(&self) -> String {
        let Tiling { block, tile, block_k } = self.tiling;
        let ([x, _], blocks) = (self.tiling.subgroups(), self.blocks());
        let mut text = format!(
            "{}let a_first = group.y * {}u; let b_first = group.x * {}u; let index = local.y * {SUBGROUP_SIZE}u + local.x;\n\
             let a_tile = local.y / {x}u * {}u; let b_tile = local.y % {x}u * {}u;\n",
            Gemm::PROLOGUE,
            block[0],
            block[1],
            tile[0],
            tile[1],
        );
        for (c, _) in accumulators(tile) {
            let _ = writeln!(text, "var {c} = coop_mat16x16<f32, C>();");
        }
        let read = |text: &mut String| blocks.iter().for_each(|block| block.read(text));
        blocks.iter().for_each(|block| block.declare(&mut text));
        text += "{ let k = 0u;\n";
        read(&mut text);
        let _ = writeln!(
            text,
            "}}\nfor (var k_block = 0u; k_block < k_size; k_block += {block_k}u) {{\n{{ let k = k_block;"
        );
        blocks.iter().for_each(|block| block.store(&mut text));
        // the next block is read from memory while this one is multiplied
        let _ = writeln!(
            text,
            "}}\nworkgroupBarrier();\nif (k_block + {block_k}u < k_size) {{ let k = k_block + {block_k}u;"
        );
        read(&mut text);
        text += "}\n";
        for k in (0..block_k).step_by(FRAGMENT) {
            text += "{\n";
            blocks.iter().for_each(|block| block.load(&mut text, k));
            for (c, [row, column]) in accumulators(tile) {
                let _ = writeln!(text, "{c} = coopMultiplyAdd(a{row}, b{column}, {c});");
            }
            text += "}\n";
        }
        text += "workgroupBarrier();\n}\n";
        // the layout of a fragment in its invocations is opaque: it is stored to memory before the epilogue
        let _ = writeln!(text, "let scratch_first = local.y * {}u;", FRAGMENT * FRAGMENT / 4);
        for (c, [row, column]) in accumulators(tile) {
            let _ = writeln!(text, "coopStoreT({c}, &scratch[scratch_first], {}u);\nworkgroupBarrier();", FRAGMENT / 4);
            for i in (0..FRAGMENT * FRAGMENT / 4).step_by(SUBGROUP_SIZE) {
                let at = format!("(b_first + b_tile + {column}u) / 4u + local.x % {}u", FRAGMENT / 4);
                self.gemm.epilogue(&mut text, &at, |text, write| {
                    let row = format!("a_first + a_tile + {}u + local.x / {}u", row + i / (FRAGMENT / 4), FRAGMENT / 4);
                    write(text, &row, &format!("scratch[scratch_first + {i}u + local.x]"));
                });
            }
            text += "workgroupBarrier();\n";
        }
        text
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        let is_half = |gemm: &Gemm| gemm.storage[..2].contains(&Storage::F16);
        let of = |gemm| [Tiling::LARGE, Tiling::SMALL].map(|tiling| Self { gemm, tiling });
        Gemm::variants().into_iter().filter(is_half).flat_map(of).collect()
    }
}
