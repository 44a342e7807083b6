//! Products on hardware: the invocations of a workgroup bring a block of each factor into its memory side by side, and each keeps
//! a tile of the result in registers. Where a result has few blocks, several invocations share each tile's sum.

use std::fmt::Write;

use super::super::shader::Shader;
use super::{Factors, Lies};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Blocks {
    pub(super) factors: Factors,
    pub(super) size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Size {
    /// Rows and columns of a workgroup's block of the result.
    pub(super) block: [usize; 2],
    /// Rows and columns of an invocation's tile of it, multiples of four.
    pub(super) tile: [usize; 2],
    /// Values of the sum that are brought at a time, a multiple of four.
    pub(super) depth: usize,
    /// Among how many invocations the sum of each tile is shared out.
    pub(super) parts: usize,
}

impl Size {
    const LARGE: Self = Self { block: [64, 64], tile: [8, 4], depth: 16, parts: 1 };
    const SMALL: Self = Self { block: [16, 32], tile: [4, 4], depth: 8, parts: 8 };
    /// All that there are.
    pub(super) const ALL: [Self; 2] = [Self::LARGE, Self::SMALL];
    /// Workgroups that keep a large GPU busy.
    const BUSY: usize = 128;

    /// What suits so many results of so many rows and columns.
    pub(super) fn suited(sides: [usize; 2], count: usize) -> Self {
        let [x, y] = Self::LARGE.groups(sides);
        if x * y * count < Self::BUSY { Self::SMALL } else { Self::LARGE }
    }

    /// Workgroups for a result of so many rows and columns.
    pub(super) fn groups(&self, [m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(self.block[1]), m.div_ceil(self.block[0])]
    }

    /// Invocations by columns and by rows.
    fn invocations(&self) -> [usize; 2] {
        [self.block[1] / self.tile[1], self.block[0] / self.tile[0]]
    }
}

/// One of the factors.
struct Side {
    name: char,
    lies: Lies,
    /// Rows or columns of its block that are not summed over.
    side: usize,
    /// Name of how many it has in all.
    count: char,
    depth: usize,
    /// Invocations that bring it.
    invocations: usize,
}

impl Side {
    /// `vec4`s of the block.
    fn fours(&self) -> usize {
        self.side * self.depth / 4
    }

    /// `vec4`s that each invocation brings.
    fn brings(&self) -> usize {
        self.fours().div_ceil(self.invocations)
    }

    /// Reads what this invocation brings of the block that begins at `k`; nought beyond the sum's end.
    fn read(&self, text: &mut String, factors: Factors) {
        let Self { name, count, depth, side, .. } = *self;
        for i in 0..self.brings() {
            let index = format!("(index + {}u)", i * self.invocations);
            let (place, inside) = match self.lies {
                Lies::Along => {
                    let (row, four) = (format!("{index} / {}u", depth / 4), format!("{index} % {}u", depth / 4));
                    (
                        format!("min({name}_first + {row}, {count} - 1u) * {name}_stride + k / 4u + {four}"),
                        format!("k + 4u * ({four}) < sum"),
                    )
                }
                Lies::Across => {
                    let (row, four) = (format!("{index} / {}u", side / 4), format!("{index} % {}u", side / 4));
                    (
                        format!("(k + {row}) * {name}_stride + min({name}_first / 4u + {four}, {count} / 4u - 1u)"),
                        format!("k + {row} < sum"),
                    )
                }
            };
            let value = factors.read(name, &format!("{name}_matrix + {place}"));
            let _ = writeln!(text, "{name}_next{i} = vec4<f32>(); if ({inside}) {{ {name}_next{i} = {value}; }}");
        }
    }

    /// Puts what was read into the block: a row for each value of the sum.
    fn put(&self, text: &mut String) {
        let Self { name, depth, side, .. } = *self;
        let (fours, row, uneven) = (depth / 4, side / 4, !self.fours().is_multiple_of(self.invocations));
        for i in 0..self.brings() {
            let index = format!("(index + {}u)", i * self.invocations);
            let guard = if uneven { format!("if ({index} < {}u) ", self.fours()) } else { String::new() };
            let _ = write!(text, "{guard}{{ ");
            match self.lies {
                Lies::Along => {
                    let _ = write!(
                        text,
                        "let row = {index} / {fours}u; let lane = row % 4u;\n\
                         let at = {name}_part + ({index} % {fours}u) * {side}u + row / 4u; "
                    );
                    for j in 0..4 {
                        let _ = write!(text, "{name}_block[at + {}u][lane] = {name}_next{i}[{j}]; ", j * row);
                    }
                }
                Lies::Across => {
                    let _ = write!(text, "{name}_block[{name}_part + {index}] = {name}_next{i}; ");
                }
            }
            text.push_str("}\n");
        }
    }
}

impl Blocks {
    fn sides(&self) -> [Side; 2] {
        let (Factors { a, b, .. }, Size { block, depth, .. }) = (self.factors, self.size);
        let [x, y] = self.size.invocations();
        let side = |name, lies, side, count| Side { name, lies, side, count, depth, invocations: x * y };
        [side('a', a, block[0], 'm'), side('b', b, block[1], 'n')]
    }
}

impl Shader for Blocks {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        self.factors.buffers()
    }

    fn workgroup(&self) -> [u32; 3] {
        let [x, y] = self.size.invocations();
        [x as u32, y as u32, self.size.parts as u32]
    }

    fn declarations(&self) -> String {
        let declaration = |side: Side| {
            format!("var<workgroup> {}_block: array<vec4<f32>, {}>;\n", side.name, self.size.parts * side.fours())
        };
        self.sides().map(declaration).concat() + &self.factors.declarations()
    }

    fn body(&self) -> String {
        let Size { block, tile: [rows, columns], depth, parts } = self.size;
        let ([x, y], sides) = (self.size.invocations(), self.sides());
        let mut text = format!(
            "{}let a_first = group.y * {}u; let b_first = group.x * {}u; let index = local.y * {x}u + local.x;\n\
             let part = {};\n",
            Factors::DIMS,
            block[0],
            block[1],
            if parts > 1 { "local.z" } else { "0u" },
        );
        // what an invocation has of the result: a name, and its number
        let vectors = || {
            let names = (0..rows).flat_map(|row| (0..columns / 4).map(move |v| format!("c{row}_{v}")));
            names.enumerate()
        };
        for (_, c) in vectors() {
            let _ = writeln!(text, "var {c} = vec4<f32>();");
        }
        for side in &sides {
            let _ = writeln!(text, "let {}_part = part * {}u;", side.name, side.fours());
            for i in 0..side.brings() {
                let _ = writeln!(text, "var {}_next{i} = vec4<f32>();", side.name);
            }
        }
        let read = |text: &mut String| sides.iter().for_each(|side| side.read(text, self.factors));
        let _ = writeln!(text, "{{ let k = part * {depth}u;");
        read(&mut text);
        let _ = writeln!(text, "}}\nfor (var turn = 0u; turn < sum; turn += {}u) {{", parts * depth);
        sides.iter().for_each(|side| side.put(&mut text));
        // the next values are on their way while these are multiplied
        let _ = writeln!(text, "workgroupBarrier();\n{{ let k = turn + {parts}u * {depth}u + part * {depth}u;");
        read(&mut text);
        text += "}\n";
        for k in 0..depth {
            // an invocation's fours lie apart, so that neighbours read side by side
            text += "{\n";
            for (side, fours, own, apart) in [(&sides[0], rows / 4, 'y', y), (&sides[1], columns / 4, 'x', x)] {
                for i in 0..fours {
                    let (name, at) = (side.name, k * side.side / 4 + i * apart);
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
        if parts > 1 {
            // the parts' sums are added in their order, through the memory that is free now
            let slot = |i: usize| format!("a_block[{}u + index]", i * x * y);
            let _ = writeln!(text, "for (var p = 1u; p < {parts}u; p++) {{\nif (part == p) {{");
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
            self.factors.finish(&mut text, &format!("b_first / 4u + {}u + local.x", v * x), |text, write| {
                for row in 0..rows {
                    let at = format!("a_first + {}u + 4u * local.y", row / 4 * 4 * y + row % 4);
                    write(text, &at, &format!("c{row}_{v}"));
                }
            });
        }
        if parts > 1 {
            text += "}\n";
        }
        text
    }
}
