//! Products in half precision where the GPU has matrix units (tensor cores): the invocations of a workgroup bring a block of each
//! factor into its memory, and each subgroup multiplies tiles of 16 × 16 of it, summed in full precision. Native only: WGSL has no
//! matrices that a subgroup shares yet, wgpu does.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::wgpu::{CubeTensor, WgpuSetup, wgpu};

use super::super::shader::Shader;
use super::{Factors, Kept, Lies};

/// Side of the matrices that a subgroup multiplies.
const UNIT: usize = 16;
/// Invocations of a subgroup.
const SUBGROUP: usize = 32;
/// Values that are brought at a time, as two `vec4`s.
const PIECE: usize = 8;
/// Pieces between the rows of a block, beyond what they hold: so that rows begin in different banks of the memory.
const PAD: usize = 1;

/// Whether the process's GPU multiplies halves of [`UNIT`] × [`UNIT`] into full precision: a tensor does not know its device's
/// features.
static THERE: AtomicBool = AtomicBool::new(false);

/// Looks whether a GPU has such units.
pub(in super::super) fn look(setup: &WgpuSetup) {
    use wgpu::CooperativeScalarType::{F16, F32};
    let fits = |units: wgpu::CooperativeMatrixProperties| {
        [units.m_size, units.n_size, units.k_size] == [UNIT as u32; 3] && (units.ab_type, units.cr_type) == (F16, F32)
    };
    let needed = wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16;
    let there =
        setup.device.features().contains(needed) && setup.adapter.cooperative_matrix_properties().into_iter().any(fits);
    THERE.store(there, Ordering::Relaxed);
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cooperative {
    pub(super) factors: Factors,
    pub(super) size: Size,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Size {
    /// Rows and columns of a workgroup's block of the result.
    block: [usize; 2],
    /// Rows and columns of a subgroup's part of it.
    tile: [usize; 2],
    /// Values of the sum that are brought at a time, a multiple of [`UNIT`].
    depth: usize,
}

impl Size {
    const LARGE: Self = Self { block: [128, 128], tile: [64, 32], depth: 64 };
    const SMALL: Self = Self { block: [64, 64], tile: [32, 32], depth: 64 };
    /// Bytes of a workgroup's memory that the larger takes.
    const MEMORY: usize = 46 * 1024;
    /// Workgroups that keep a large GPU busy.
    const BUSY: usize = 96;
    /// With fewer small ones, what shares out the sums is as fast.
    const FEW: usize = 40;

    /// What suits so many results of so many rows and columns, where the units do; `dims` as for
    /// [`Factors::launch`](super::Factors::launch).
    pub(super) fn suited(like: &CubeTensor, factors: &Factors, dims: &[usize], count: usize) -> Option<Self> {
        let [a, b, _] = factors.kept;
        let hardware = &like.client.properties().hardware;
        let fits = hardware.plane_size_min == SUBGROUP as u32
            && hardware.plane_size_max == SUBGROUP as u32
            && hardware.max_shared_memory_size >= Self::MEMORY;
        let halves = (a == Kept::F16 || b == Kept::F16) && b != Kept::Int8;
        let sides = [dims[0], dims[1]];
        // what lies side by side, and what stands in fours
        let in_pieces = dims[1..3].iter().all(|side| side % PIECE == 0)
            && (factors.a == Lies::Along || dims[0] % PIECE == 0)
            && dims[3..].iter().all(|fours| fours % 2 == 0);
        if !halves || !fits || !in_pieces || !THERE.load(Ordering::Relaxed) {
            return None;
        }
        let many = |size: Self| size.groups(sides).iter().product::<usize>() * count;
        if many(Self::LARGE) >= Self::BUSY {
            Some(Self::LARGE)
        } else {
            (many(Self::SMALL) >= Self::FEW).then_some(Self::SMALL)
        }
    }

    /// Workgroups for a result of so many rows and columns.
    pub(super) fn groups(&self, [m, n]: [usize; 2]) -> [usize; 2] {
        [n.div_ceil(self.block[1]), m.div_ceil(self.block[0])]
    }

    /// Subgroups by columns and by rows.
    fn subgroups(&self) -> [usize; 2] {
        [self.block[1] / self.tile[1], self.block[0] / self.tile[0]]
    }

    /// Invocations of a workgroup.
    fn invocations(&self) -> usize {
        SUBGROUP * self.subgroups().iter().product::<usize>()
    }
}

/// One of the factors.
struct Factor {
    name: char,
    lies: Lies,
    kept: Kept,
    /// Rows or columns of its block that are not summed over, and of a subgroup's tile.
    side: usize,
    tile: usize,
    /// Name of how many it has in all.
    count: char,
    size: Size,
}

impl Factor {
    /// Pieces of a row of the block, where rows are what lies side by side; rows.
    fn rows(&self) -> [usize; 2] {
        match self.lies {
            Lies::Along => [self.size.depth / PIECE, self.side],
            Lies::Across => [self.side / PIECE, self.size.depth],
        }
    }

    /// Pieces from one row of the block to the next.
    fn stride(&self) -> usize {
        self.rows()[0] + PAD
    }

    /// Pieces of the block, with what is between its rows.
    fn room(&self) -> usize {
        self.stride() * self.rows()[1]
    }

    /// Pieces that each invocation brings.
    fn brings(&self) -> usize {
        self.side * self.size.depth / PIECE / self.size.invocations()
    }

    fn piece(&self) -> &'static str {
        if self.kept == Kept::F16 { "array<vec4<f16>, 2>" } else { "array<vec4<f32>, 2>" }
    }

    /// Declares what this invocation brings, where it stands in memory, and where in the block.
    fn declare(&self, text: &mut String) {
        let (name, [pieces, _], stride) = (self.name, self.rows(), self.stride());
        for i in 0..self.brings() {
            let index = format!("(index + {}u)", i * self.size.invocations());
            let (row, piece) = (format!("({index} / {pieces}u)"), format!("({index} % {pieces}u)"));
            let (from, inner) = match self.lies {
                Lies::Along => {
                    (format!("min({name}_first + {row}, {} - 1u) * ({name}_stride / 2u)", self.count), piece.clone())
                }
                Lies::Across => {
                    (format!("min({name}_first / {PIECE}u + {piece}, {} / {PIECE}u - 1u)", self.count), row.clone())
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

    /// Reads what this invocation brings of the block that begins at `k`; beyond the sum's end, what stands there.
    fn read(&self, text: &mut String) {
        let name = self.name;
        for i in 0..self.brings() {
            let inner = match self.lies {
                Lies::Along => format!("min(k / {PIECE}u + {name}_inner{i}, sum / {PIECE}u - 1u)"),
                Lies::Across => format!("min(k + {name}_inner{i}, sum - 1u) * ({name}_stride / 2u)"),
            };
            let _ = writeln!(text, "{name}_next{i} = {name}[{name}_from{i} + {inner}];");
        }
    }

    /// Puts what was read into the block that begins at `k`: nought beyond the sum's end.
    fn put(&self, text: &mut String) {
        let name = self.name;
        for i in 0..self.brings() {
            let inside = match self.lies {
                Lies::Along => format!("k / {PIECE}u + {name}_inner{i} < sum / {PIECE}u"),
                Lies::Across => format!("k + {name}_inner{i} < sum"),
            };
            let four = |j: usize| {
                let next = format!("{name}_next{i}[{j}]");
                let next = if self.kept == Kept::F16 { next } else { format!("narrowed({next})") };
                format!("select(vec4<f16>(), {next}, {inside})")
            };
            let _ = writeln!(text, "{name}_block[{name}_to{i}] = array<vec4<f16>, 2>({}, {});", four(0), four(1));
        }
    }

    /// Loads the matrices of a subgroup's tile that begin at `k` of the block.
    fn load(&self, text: &mut String, k: usize) {
        let (name, stride) = (self.name, self.stride());
        let role = self.name.to_ascii_uppercase();
        // rows of a matrix lie in one piece, or columns
        let by_rows = if (name == 'a') == (self.lies == Lies::Along) { "T" } else { "" };
        for i in (0..self.tile).step_by(UNIT) {
            let at = match self.lies {
                Lies::Along => format!("({name}_tile + {i}u) * {stride}u + {}u", k / PIECE),
                Lies::Across => format!("{}u + ({name}_tile + {i}u) / {PIECE}u", k * stride),
            };
            let _ = writeln!(
                text,
                "let {name}{i} = coopLoad{by_rows}<coop_mat16x16<f16, {role}>>(&{name}_block[{at}][0], {}u);",
                stride * PIECE / 4
            );
        }
    }
}

impl Cooperative {
    fn sides(&self) -> [Factor; 2] {
        let (Factors { a, b, kept, .. }, size) = (self.factors, self.size);
        let factor = |name, lies, kept, i: usize, count| Factor {
            name,
            lies,
            kept,
            side: size.block[i],
            tile: size.tile[i],
            count,
            size,
        };
        [factor('a', a, kept[0], 0, 'm'), factor('b', b, kept[1], 1, 'n')]
    }
}

/// A subgroup's matrices: names, and the rows and columns where they begin in its tile.
fn units([rows, columns]: [usize; 2]) -> impl Iterator<Item = (String, [usize; 2])> {
    let rows = (0..rows).step_by(UNIT);
    rows.flat_map(move |row| (0..columns).step_by(UNIT).map(move |column| (format!("c{row}_{column}"), [row, column])))
}

impl Shader for Cooperative {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        let (mut inputs, outputs) = self.factors.buffers();
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

    fn extensions(&self) -> &'static str {
        "enable f16;\nenable wgpu_cooperative_matrix;\n"
    }

    fn workgroup(&self) -> [u32; 3] {
        [SUBGROUP as u32, (self.size.invocations() / SUBGROUP) as u32, 1]
    }

    fn declarations(&self) -> String {
        let block = |factor: Factor| {
            format!("var<workgroup> {}_block: array<array<vec4<f16>, 2>, {}>;\n", factor.name, factor.room())
        };
        let scratch = self.size.invocations() / SUBGROUP * UNIT * UNIT / 4;
        // what is beyond half precision becomes its largest value
        self.sides().map(block).concat()
            + &format!("var<workgroup> scratch: array<vec4<f32>, {scratch}>;\n")
            + "fn narrowed(x: vec4<f32>) -> vec4<f16> { return vec4<f16>(clamp(x, vec4(-65504.0), vec4(65504.0))); }\n"
            + &self.factors.declarations()
    }

    fn body(&self) -> String {
        let Size { block, tile, depth } = self.size;
        let ([x, _], factors) = (self.size.subgroups(), self.sides());
        let mut text = format!(
            "{}let a_first = group.y * {}u; let b_first = group.x * {}u; let index = local.y * {SUBGROUP}u + local.x;\n\
             let a_tile = local.y / {x}u * {}u; let b_tile = local.y % {x}u * {}u;\n",
            Factors::DIMS,
            block[0],
            block[1],
            tile[0],
            tile[1],
        );
        for (c, _) in units(tile) {
            let _ = writeln!(text, "var {c} = coop_mat16x16<f32, C>();");
        }
        let read = |text: &mut String| factors.iter().for_each(|factor| factor.read(text));
        factors.iter().for_each(|factor| factor.declare(&mut text));
        text += "{ let k = 0u;\n";
        read(&mut text);
        let _ = writeln!(text, "}}\nfor (var turn = 0u; turn < sum; turn += {depth}u) {{\n{{ let k = turn;");
        factors.iter().for_each(|factor| factor.put(&mut text));
        // the next values are on their way while these are multiplied
        let _ = writeln!(text, "}}\nworkgroupBarrier();\nif (turn + {depth}u < sum) {{ let k = turn + {depth}u;");
        read(&mut text);
        text += "}\n";
        for k in (0..depth).step_by(UNIT) {
            text += "{\n";
            factors.iter().for_each(|factor| factor.load(&mut text, k));
            for (c, [row, column]) in units(tile) {
                let _ = writeln!(text, "{c} = coopMultiplyAdd(a{row}, b{column}, {c});");
            }
            text += "}\n";
        }
        text += "workgroupBarrier();\n}\n";
        // which invocation has which value, only the GPU knows
        let _ = writeln!(text, "let own = local.y * {}u;", UNIT * UNIT / 4);
        for (c, [row, column]) in units(tile) {
            let _ = writeln!(text, "coopStoreT({c}, &scratch[own], {}u);\nworkgroupBarrier();", UNIT / 4);
            for i in (0..UNIT * UNIT / 4).step_by(SUBGROUP) {
                let at = format!("(b_first + b_tile + {column}u) / 4u + local.x % {}u", UNIT / 4);
                self.factors.finish(&mut text, &at, |text, write| {
                    let row = format!("a_first + a_tile + {}u + local.x / {}u", row + i / (UNIT / 4), UNIT / 4);
                    write(text, &row, &format!("scratch[own + {i}u + local.x]"));
                });
            }
            text += "workgroupBarrier();\n";
        }
        text
    }
}
