//! Products on a software rasterizer: each invocation keeps a tile of the result in registers.
//!
//! No workgroup memory, as barriers are slow there. A read costs some thirty instructions, so that reads per multiply-add limit the
//! speed: hence the large tile, and reads of four values.

use std::fmt::Write;

use super::super::Shader;
use super::{Gemm, Layout};

/// Rows and columns of an invocation's tile, multiples of four.
const TILE: [usize; 2] = [8, 8];
const WORKGROUP_SIZE: [usize; 2] = [16, 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Registers(pub(in crate::gpu) Gemm);

impl Registers {
    /// Workgroups in x and y for an m × n result.
    pub(in crate::gpu) fn workgroups([m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(TILE[1] * WORKGROUP_SIZE[0]), m.div_ceil(TILE[0] * WORKGROUP_SIZE[1])]
    }

    /// Values of K of one loop iteration.
    fn step(&self) -> usize {
        if self.0.a == Layout::KContiguous || self.0.b == Layout::KContiguous { 4 } else { 1 }
    }

    /// Loads an iteration's values of an operand, `extent` of its rows or columns.
    fn load(&self, text: &mut String, name: char, layout: Layout, extent: usize) {
        let count = if layout == Layout::KContiguous { extent } else { extent / 4 };
        for step in 0..if layout == Layout::KContiguous { 1 } else { self.step() } {
            for i in 0..count {
                let at = match layout {
                    Layout::KContiguous => format!("{name}_at{i} + k / 4u"),
                    Layout::KStrided => format!("{name}_at{i} + (k + {step}u) * {name}_stride"),
                };
                let _ = writeln!(text, "let {name}{step}_{i} = {};", self.0.read(name, &at));
            }
        }
    }

    /// Declares where the tile's rows or columns begin, in `vec4`s; those beyond the last one read the last one.
    fn declare_offsets(text: &mut String, name: char, layout: Layout, extent: usize, count: &str) {
        let (offsets, last) = match layout {
            Layout::KContiguous => (extent, format!("{count} - 1u")),
            Layout::KStrided => (extent / 4, format!("{count} / 4u - 1u")),
        };
        for i in 0..offsets {
            let offset = match layout {
                Layout::KContiguous => format!("min({name}_first + {i}u, {last}) * {name}_stride"),
                Layout::KStrided => format!("min({name}_first / 4u + {i}u, {last})"),
            };
            let _ = writeln!(text, "let {name}_at{i} = {name}_matrix + {offset};");
        }
    }
}

impl Shader for Registers {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        self.0.buffers()
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [WORKGROUP_SIZE[0] as u32, WORKGROUP_SIZE[1] as u32, 1]
    }

    fn declarations(&self) -> String {
        self.0.declarations()
    }

    fn body(&self) -> String {
        let ([rows, columns], Gemm { a, b, .. }) = (TILE, self.0);
        let mut text = format!(
            "{}let a_first = id.y * {rows}u; let b_first = id.x * {columns}u;\n\
             if (a_first >= m || b_first >= n) {{ return; }}\n",
            Gemm::PROLOGUE
        );
        Self::declare_offsets(&mut text, 'a', a, rows, "m");
        Self::declare_offsets(&mut text, 'b', b, columns, "n");
        for row in 0..rows {
            for v in 0..columns / 4 {
                let _ = writeln!(text, "var c{row}_{v} = vec4<f32>();");
            }
        }
        let _ = writeln!(text, "for (var k = 0u; k < k_size; k += {}u) {{", self.step());
        self.load(&mut text, 'a', a, rows);
        self.load(&mut text, 'b', b, columns);
        for k in 0..self.step() {
            for row in 0..rows {
                let a = match a {
                    Layout::KContiguous => format!("a0_{row}[{k}]"),
                    Layout::KStrided => format!("a{k}_{}[{}]", row / 4, row % 4),
                };
                for v in 0..columns / 4 {
                    let b = match b {
                        Layout::KContiguous => {
                            let column = |i: usize| format!("b0_{}[{k}]", 4 * v + i);
                            format!("vec4({}, {}, {}, {})", column(0), column(1), column(2), column(3))
                        }
                        Layout::KStrided => format!("b{k}_{v}"),
                    };
                    let _ = writeln!(text, "c{row}_{v} = fma(vec4({a}), {b}, c{row}_{v});");
                }
            }
        }
        text += "}\n";
        for v in 0..columns / 4 {
            self.0.epilogue(&mut text, &format!("b_first / 4u + {v}u"), |text, write| {
                for row in 0..rows {
                    write(text, &format!("a_first + {row}u"), &format!("c{row}_{v}"));
                }
            });
        }
        text
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        Gemm::variants().into_iter().map(Self).collect()
    }
}
