//! Products on a software rasteriser: each invocation keeps a tile of the result in registers, and reads four values at a time.
//!
//! No workgroup memory and no barrier: a rasteriser stands still at one, and pays some thirty instructions for a value read, so
//! that reads a multiply-add bind it. Hence the large tile.

use std::fmt::Write;

use super::super::shader::Shader;
use super::{Factors, Lies};

/// Rows and columns of a tile, multiples of four.
const TILE: [usize; 2] = [8, 8];
const WORKGROUP: [usize; 2] = [16, 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Registers(pub(super) Factors);

impl Registers {
    /// Workgroups for a result of so many rows and columns.
    pub(super) fn groups([m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(TILE[1] * WORKGROUP[0]), m.div_ceil(TILE[0] * WORKGROUP[1])]
    }

    /// Values of the sum that a turn of the loop takes.
    fn step(&self) -> usize {
        if self.0.a == Lies::Along || self.0.b == Lies::Along { 4 } else { 1 }
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
                let _ = writeln!(text, "let {name}{turn}_{i} = {};", self.0.read(name, &at));
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
            let _ = writeln!(text, "let {name}_at{i} = {name}_matrix + {place};");
        }
    }
}

impl Shader for Registers {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        self.0.buffers()
    }

    fn workgroup(&self) -> [u32; 3] {
        [WORKGROUP[0] as u32, WORKGROUP[1] as u32, 1]
    }

    fn declarations(&self) -> String {
        self.0.declarations()
    }

    fn body(&self) -> String {
        let ([rows, columns], Factors { a, b, .. }) = (TILE, self.0);
        let mut text = format!(
            "{}let a_first = id.y * {rows}u; let b_first = id.x * {columns}u;\n\
             if (a_first >= m || b_first >= n) {{ return; }}\n",
            Factors::DIMS
        );
        Self::places(&mut text, 'a', a, rows, "m");
        Self::places(&mut text, 'b', b, columns, "n");
        for row in 0..rows {
            for v in 0..columns / 4 {
                let _ = writeln!(text, "var c{row}_{v} = vec4<f32>();");
            }
        }
        let _ = writeln!(text, "for (var k = 0u; k < sum; k += {}u) {{", self.step());
        self.loads(&mut text, 'a', a, rows);
        self.loads(&mut text, 'b', b, columns);
        for k in 0..self.step() {
            for row in 0..rows {
                let a = match a {
                    Lies::Along => format!("a0_{row}[{k}]"),
                    Lies::Across => format!("a{k}_{}[{}]", row / 4, row % 4),
                };
                for v in 0..columns / 4 {
                    let b = match b {
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
            self.0.finish(&mut text, &format!("b_first / 4u + {v}u"), |text, write| {
                for row in 0..rows {
                    write(text, &format!("a_first + {row}u"), &format!("c{row}_{v}"));
                }
            });
        }
        text
    }
}
