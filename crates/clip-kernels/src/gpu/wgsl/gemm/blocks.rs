//! Products on hardware: a workgroup loads a block of each operand into its memory with coalesced reads, and each invocation keeps a
//! tile of the result in registers. If the result has few blocks, several invocations split the K of each tile.

use std::fmt::Write;

use super::super::Shader;
use super::{Gemm, Layout};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Blocks {
    pub(in crate::gpu) gemm: Gemm,
    pub(in crate::gpu) tiling: Tiling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Tiling {
    /// Rows and columns of a workgroup's block of the result.
    block: [usize; 2],
    /// Rows and columns of an invocation's tile of the block, multiples of four.
    tile: [usize; 2],
    /// Values of K that are loaded at a time, a multiple of four.
    block_k: usize,
    /// Invocations that split the K of a tile.
    split_k: usize,
}

impl Tiling {
    const LARGE: Self = Self { block: [64, 64], tile: [8, 4], block_k: 16, split_k: 1 };
    const SMALL: Self = Self { block: [16, 32], tile: [4, 4], block_k: 8, split_k: 8 };
    pub(in crate::gpu) const ALL: [Self; 2] = [Self::LARGE, Self::SMALL];
    /// Fewest workgroups that keep a large GPU busy.
    const MIN_WORKGROUPS: usize = 128;

    /// The fastest one for `count` results of m × n.
    pub(in crate::gpu) fn select(dims: [usize; 2], count: usize) -> Self {
        let [x, y] = Self::LARGE.workgroups(dims);
        if x * y * count < Self::MIN_WORKGROUPS { Self::SMALL } else { Self::LARGE }
    }

    /// Workgroups in x and y for an m × n result.
    pub(in crate::gpu) fn workgroups(&self, [m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(self.block[1]), m.div_ceil(self.block[0])]
    }

    /// Tiles of a block in x and y.
    fn tiles(&self) -> [usize; 2] {
        [self.block[1] / self.tile[1], self.block[0] / self.tile[0]]
    }
}

/// The block of a or b.
struct Block {
    name: char,
    layout: Layout,
    /// Rows of a or columns of b in the block.
    extent: usize,
    /// WGSL name of their number in the whole matrix.
    total: char,
    block_k: usize,
    /// Invocations that load it.
    invocations: usize,
}

impl Block {
    fn vec4s(&self) -> usize {
        self.extent * self.block_k / 4
    }

    /// `vec4`s that each invocation loads.
    fn loads(&self) -> usize {
        self.vec4s().div_ceil(self.invocations)
    }

    /// Reads this invocation's part of the block that begins at `k`, zero beyond the end of K.
    fn read(&self, text: &mut String, gemm: Gemm) {
        let Self { name, total, block_k, extent, .. } = *self;
        for i in 0..self.loads() {
            let index = format!("(index + {}u)", i * self.invocations);
            let (place, inside) = match self.layout {
                Layout::KContiguous => {
                    let (row, four) = (format!("{index} / {}u", block_k / 4), format!("{index} % {}u", block_k / 4));
                    (
                        format!("min({name}_first + {row}, {total} - 1u) * {name}_stride + k / 4u + {four}"),
                        format!("k + 4u * ({four}) < k_size"),
                    )
                }
                Layout::KStrided => {
                    let (row, four) = (format!("{index} / {}u", extent / 4), format!("{index} % {}u", extent / 4));
                    (
                        format!("(k + {row}) * {name}_stride + min({name}_first / 4u + {four}, {total} / 4u - 1u)"),
                        format!("k + {row} < k_size"),
                    )
                }
            };
            let value = gemm.read(name, &format!("{name}_matrix + {place}"));
            let _ = writeln!(text, "{name}_next{i} = vec4<f32>(); if ({inside}) {{ {name}_next{i} = {value}; }}");
        }
    }

    /// Writes what was read to workgroup memory, `[block_k, extent]`.
    fn store(&self, text: &mut String) {
        let Self { name, block_k, extent, .. } = *self;
        let (fours, row, uneven) = (block_k / 4, extent / 4, !self.vec4s().is_multiple_of(self.invocations));
        for i in 0..self.loads() {
            let index = format!("(index + {}u)", i * self.invocations);
            let guard = if uneven { format!("if ({index} < {}u) ", self.vec4s()) } else { String::new() };
            let _ = write!(text, "{guard}{{ ");
            match self.layout {
                Layout::KContiguous => {
                    let _ = write!(
                        text,
                        "let row = {index} / {fours}u; let lane = row % 4u;\n\
                         let at = {name}_part + ({index} % {fours}u) * {extent}u + row / 4u; "
                    );
                    for j in 0..4 {
                        let _ = write!(text, "{name}_block[at + {}u][lane] = {name}_next{i}[{j}]; ", j * row);
                    }
                }
                Layout::KStrided => {
                    let _ = write!(text, "{name}_block[{name}_part + {index}] = {name}_next{i}; ");
                }
            }
            text.push_str("}\n");
        }
    }
}

impl Blocks {
    fn blocks(&self) -> [Block; 2] {
        let (Gemm { a, b, .. }, Tiling { block: [rows, columns], block_k, .. }) = (self.gemm, self.tiling);
        let [x, y] = self.tiling.tiles();
        let block = |name, layout, extent, total| Block { name, layout, extent, total, block_k, invocations: x * y };
        [block('a', a, rows, 'm'), block('b', b, columns, 'n')]
    }
}

impl Shader for Blocks {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        self.gemm.buffers()
    }

    fn workgroup_size(&self) -> [u32; 3] {
        let [x, y] = self.tiling.tiles();
        [x as u32, y as u32, self.tiling.split_k as u32]
    }

    fn declarations(&self) -> String {
        let declaration = |block: Block| {
            format!("var<workgroup> {}_block: array<vec4<f32>, {}>;\n", block.name, self.tiling.split_k * block.vec4s())
        };
        self.blocks().map(declaration).concat() + &self.gemm.declarations()
    }

    fn body(&self) -> String {
        let Tiling { block, tile: [rows, columns], block_k, split_k } = self.tiling;
        let ([x, y], blocks) = (self.tiling.tiles(), self.blocks());
        let mut text = format!(
            "{}let a_first = group.y * {}u; let b_first = group.x * {}u; let index = local.y * {x}u + local.x;\n\
             let part = {};\n",
            Gemm::PROLOGUE,
            block[0],
            block[1],
            if split_k > 1 { "local.z" } else { "0u" },
        );
        // the vec4s of an invocation's tile: index and name
        let vectors = || {
            let names = (0..rows).flat_map(|row| (0..columns / 4).map(move |v| format!("c{row}_{v}")));
            names.enumerate()
        };
        for (_, c) in vectors() {
            let _ = writeln!(text, "var {c} = vec4<f32>();");
        }
        for block in &blocks {
            let _ = writeln!(text, "let {}_part = part * {}u;", block.name, block.vec4s());
            for i in 0..block.loads() {
                let _ = writeln!(text, "var {}_next{i} = vec4<f32>();", block.name);
            }
        }
        let read = |text: &mut String| blocks.iter().for_each(|block| block.read(text, self.gemm));
        let _ = writeln!(text, "{{ let k = part * {block_k}u;");
        read(&mut text);
        let _ = writeln!(text, "}}\nfor (var k_block = 0u; k_block < k_size; k_block += {}u) {{", split_k * block_k);
        blocks.iter().for_each(|block| block.store(&mut text));
        // the next block is read from memory while this one is multiplied
        let _ =
            writeln!(text, "workgroupBarrier();\n{{ let k = k_block + {split_k}u * {block_k}u + part * {block_k}u;");
        read(&mut text);
        text += "}\n";
        for k in 0..block_k {
            // neighbouring invocations have neighbouring vec4s, so that reads have no bank conflicts
            text += "{\n";
            for (block, vec4s, own, apart) in [(&blocks[0], rows / 4, 'y', y), (&blocks[1], columns / 4, 'x', x)] {
                for i in 0..vec4s {
                    let (name, at) = (block.name, k * block.extent / 4 + i * apart);
                    let _ = writeln!(text, "let {name}{i} = {name}_block[{name}_part + {at}u + local.{own}];");
                }
            }
            for row in 0..rows {
                for v in 0..columns / 4 {
                    let _ = writeln!(text, "c{row}_{v} = fma(vec4(a{}[{}]), b{v}, c{row}_{v});", row / 4, row % 4);
                }
            }
            text += "}\n";
        }
        text += "workgroupBarrier();\n}\n";
        if split_k > 1 {
            // the first invocation adds up the others' sums, in a fixed order, through the memory of the blocks
            let slot = |i: usize| format!("a_block[{}u + index]", i * x * y);
            let _ = writeln!(text, "for (var p = 1u; p < {split_k}u; p++) {{\nif (part == p) {{");
            for (i, c) in vectors() {
                let _ = writeln!(text, "{} = {c};", slot(i));
            }
            text += "}\nworkgroupBarrier();\nif (part == 0u) {\n";
            for (i, c) in vectors() {
                let _ = writeln!(text, "{c} += {};", slot(i));
            }
            text += "}\nworkgroupBarrier();\n}\nif (part == 0u) {\n";
        }
        for v in 0..columns / 4 {
            self.gemm.epilogue(&mut text, &format!("b_first / 4u + {}u + local.x", v * x), |text, write| {
                for row in 0..rows {
                    let at = format!("a_first + {}u + 4u * local.y", row / 4 * 4 * y + row % 4);
                    write(text, &at, &format!("c{row}_{v}"));
                }
            });
        }
        if split_k > 1 {
            text += "}\n";
        }
        text
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        Gemm::variants().into_iter().flat_map(|gemm| Tiling::ALL.map(|tiling| Self { gemm, tiling })).collect()
    }
}
