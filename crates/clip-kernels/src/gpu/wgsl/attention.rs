//! Attention with an online softmax (arXiv 2205.14135, section 3.1): an invocation has one query of one head, or on hardware half of
//! its dimensions, and reads the keys once, correcting the softmax's maximum and sum. Scores stay in registers. Heads are read from the
//! rows of qkv in place.

use std::fmt::Write;

use super::Shader;

/// Queries, or keys in [`Pass::Keys`], of a workgroup.
pub(in crate::gpu) const WORKGROUP_SIZE: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::gpu) enum Pass {
    Forward,
    /// Gradient of the queries, and for [`Pass::Keys`] each query's statistics: log of the softmax's sum, and output · gradient.
    Queries,
    /// Gradients of keys and values.
    Keys,
}

/// Its `dims`: length, width, heads. Workgroups in x are blocks of positions, in y heads, in z items of the batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct Attention {
    pass: Pass,
    causal: bool,
    head_dim: usize,
    /// Invocations that split the dimensions of a head, which do not fit into the registers of one.
    split_head: usize,
    /// Positions of one loop iteration: their scores are independent, and one barrier serves all.
    unroll: usize,
}

impl Attention {
    /// The variant for a device.
    pub(in crate::gpu) fn new(pass: Pass, causal: bool, head_dim: usize, software: bool) -> Self {
        let (split_head, unroll) = match (software, pass) {
            (true, _) => (1, 1),
            (false, Pass::Forward) => (2, 4),
            // the gradients of four positions would not fit into registers
            (false, _) => (2, 2),
        };
        let split_head = if head_dim.is_multiple_of(4 * split_head) { split_head } else { 1 };
        Self { pass, causal, head_dim, split_head, unroll }
    }

    /// `vec4`s of a head that an invocation has.
    fn own(&self) -> usize {
        self.head_dim / 4 / self.split_head
    }

    /// Writes the line for each of these, with its index in place of `#`.
    fn each(&self, text: &mut String, line: &str) {
        for i in 0..self.own() {
            let _ = writeln!(text, "{}", line.replace('#', &i.to_string()));
        }
    }

    /// Writes the line for each position of an iteration, with its index in place of `@`.
    fn each_position(&self, text: &mut String, line: &str) {
        for i in 0..self.unroll {
            let _ = writeln!(text, "{}", line.replace('@', &i.to_string()));
        }
    }

    /// The text for each position of an iteration, joined by `between`.
    fn joined(&self, between: &str, line: &str) -> String {
        (0..self.unroll).map(|i| line.replace('@', &i.to_string())).collect::<Vec<_>>().join(between)
    }

    /// Declares for each position of an iteration the dot products `name = left · right` over a whole head.
    fn dots(&self, text: &mut String, products: &[[&str; 3]]) {
        for [name, left, right] in products {
            self.each_position(text, &format!("var {name}@_4 = vec4<f32>();"));
            for i in 0..self.own() {
                let line = format!("{name}@_4 = fma({left}, {right}, {name}@_4);");
                self.each_position(text, &line.replace('#', &i.to_string()));
            }
            let sum = format!("{name}@_4.x + {name}@_4.y + {name}@_4.z + {name}@_4.w");
            self.each_position(text, &format!("var {name}@ = {sum};"));
        }
        if self.split_head == 1 {
            return;
        }
        // double buffering: iterations alternate between two halves of the memory, so that one barrier each is enough
        let slot = |part: &str, value: usize, position: usize| {
            let value = value * self.unroll + position;
            format!(
                "shares[((phase * {}u + {part}) * {}u + {value}u) * {WORKGROUP_SIZE}u + local.x]",
                self.split_head,
                self.values()
            )
        };
        *text += "phase = 1u - phase;\n";
        let all = || (0..products.len()).flat_map(|value| (0..self.unroll).map(move |position| (value, position)));
        for (value, position) in all() {
            let _ = writeln!(text, "{} = {}{position};", slot("local.z", value, position), products[value][0]);
        }
        *text += "workgroupBarrier();\n";
        for (value, position) in all() {
            let shares: Vec<String> =
                (0..self.split_head).map(|part| slot(&format!("{part}u"), value, position)).collect();
            let _ = writeln!(text, "{}{position} = {};", products[value][0], shares.join(" + "));
        }
    }

    /// Values that an invocation shares in an iteration.
    fn values(&self) -> usize {
        self.unroll * if self.pass == Pass::Forward { 1 } else { 2 }
    }

    /// Begins a loop over the visible keys, `unroll` at a time.
    fn over_keys(&self, text: &mut String) {
        let _ = writeln!(text, "for (var j = 0u; j < key_end; j += {}u) {{", self.unroll);
        self.each_position(
            text,
            "let key@ = (item + min(j + @u, length - 1u)) * row + head + width; let value@ = key@ + width;",
        );
    }

    /// Corrects the softmax's maximum and sum for an iteration's scores `s`, and declares their exponentials `p`.
    fn update_softmax(&self, text: &mut String) {
        self.each_position(text, "s@ = select(-3.0e38, s@, j + @u < seen);");
        *text += "var new_max = max_score;\n";
        self.each_position(text, "new_max = max(new_max, s@);");
        *text += "let correction = exp(max_score - new_max); max_score = new_max;\n";
        self.each_position(text, "let p@ = exp(s@ - new_max);");
        let _ = writeln!(text, "exp_sum = exp_sum * correction + {};", self.joined(" + ", "p@"));
    }

    fn forward(&self, text: &mut String) {
        self.each(text, "let q# = qkv[own_at + #u] * scale; var o# = vec4<f32>();");
        *text += "var max_score = -3.0e38; var exp_sum = 0.0;\n";
        self.over_keys(text);
        self.dots(text, &[["s", "q#", "qkv[key@ + #u]"]]);
        self.update_softmax(text);
        self.each(text, &format!("o# = o# * correction + {};", self.joined(" + ", "p@ * qkv[value@ + #u]")));
        *text += "}\nif (id.x < length) {\n";
        self.each(text, "out[(item + i) * width + head + #u] = o# / exp_sum;");
        *text += "}\n";
    }

    /// For query i: dS = P (dO · v - D), dq = Σ dS k, with D = O · dO = Σ P (dO · v).
    fn queries(&self, text: &mut String) {
        self.each(text, "let q# = qkv[own_at + #u] * scale; let g# = grad[(item + i) * width + head + #u];");
        let products = [["s", "q#", "qkv[key@ + #u]"], ["gv", "g#", "qkv[value@ + #u]"]];
        *text += "var max_score = -3.0e38; var exp_sum = 0.0; var og = 0.0;\n";
        self.over_keys(text);
        self.dots(text, &products);
        self.update_softmax(text);
        let _ = writeln!(text, "og = og * correction + {};\n}}", self.joined(" + ", "p@ * gv@"));
        *text += "og = og / exp_sum; let log_sum = max_score + log(exp_sum);\n";
        self.each(text, "var dq# = vec4<f32>();");
        self.over_keys(text);
        self.dots(text, &products);
        self.each_position(text, "let ds@ = select(0.0, exp(s@ - log_sum) * (gv@ - og) * scale, j + @u < seen);");
        self.each(text, &format!("dq# += {};", self.joined(" + ", "ds@ * qkv[key@ + #u]")));
        *text += "}\nif (id.x < length) {\n";
        self.each(text, "dqkv[own_at + #u] = dq#;");
        *text +=
            "if (local.z == 0u) { statistics[(group.z * dims[2] + group.y) * length + i] = vec2(log_sum, og); }\n}\n";
    }

    /// For key i: dk = Σ dS q, dv = Σ P dO, over the queries that see it.
    fn keys(&self, text: &mut String) {
        self.each(text, "let k# = qkv[own_at + width + #u] * scale; let v# = qkv[own_at + 2u * width + #u];");
        self.each(text, "var dk# = vec4<f32>(); var dv# = vec4<f32>();");
        let first = match (self.causal, self.split_head) {
            (false, _) => "0u".to_owned(),
            (true, 1) => "i".to_owned(),
            (true, _) => format!("group.x * {WORKGROUP_SIZE}u"),
        };
        let _ = writeln!(text, "for (var j = {first}; j < length; j += {}u) {{", self.unroll);
        self.each_position(
            text,
            "let query@ = (item + min(j + @u, length - 1u)) * row + head; let at@ = (item + min(j + @u, length - 1u)) * width + head;\n\
             let statistic@ = statistics[(group.z * dims[2] + group.y) * length + min(j + @u, length - 1u)];",
        );
        self.dots(text, &[["s", "k#", "qkv[query@ + #u]"], ["gv", "v#", "grad[at@ + #u]"]]);
        let sees = if self.causal { "j + @u < length && j + @u >= i" } else { "j + @u < length" };
        self.each_position(text, &format!("let p@ = select(0.0, exp(s@ - statistic@.x), {sees});"));
        self.each_position(text, "let ds@ = p@ * (gv@ - statistic@.y) * scale;");
        self.each(text, &format!("dk# += {};", self.joined(" + ", "ds@ * qkv[query@ + #u]")));
        self.each(text, &format!("dv# += {};", self.joined(" + ", "p@ * grad[at@ + #u]")));
        *text += "}\nif (id.x < length) {\n";
        self.each(text, "dqkv[own_at + width + #u] = dk#; dqkv[own_at + 2u * width + #u] = dv#;");
        *text += "}\n";
    }
}

impl Shader for Attention {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        match self.pass {
            Pass::Forward => (vec!["qkv"], vec!["out"]),
            Pass::Queries => (vec!["qkv", "grad"], vec!["dqkv", "statistics: vec2<f32>"]),
            Pass::Keys => (vec!["qkv", "grad", "statistics: vec2<f32>"], vec!["dqkv"]),
        }
    }

    fn workgroup_size(&self) -> [u32; 3] {
        [WORKGROUP_SIZE, 1, self.split_head as u32]
    }

    fn declarations(&self) -> String {
        if self.split_head == 1 {
            return String::new();
        }
        format!(
            "var<workgroup> shares: array<f32, {}>;\n",
            2 * self.split_head * self.values() * WORKGROUP_SIZE as usize
        )
    }

    fn body(&self) -> String {
        let (d, own, scale) = (self.head_dim / 4, self.own(), (self.head_dim as f32).powf(-0.5));
        // group: positions, head, item of the batch
        let mut text = format!(
            "let length = dims[0]; let width = dims[1] / 4u; let row = 3u * width; let scale = {scale:e}f;\n\
             let i = min(id.x, length - 1u); let item = group.z * length;\n\
             let head = group.y * {d}u + local.z * {own}u; let own_at = (item + i) * row + head;\n"
        );
        if self.split_head == 1 {
            text += "if (id.x >= length) { return; }\n";
        }
        text += if self.causal { "let seen = i + 1u;\n" } else { "let seen = length;\n" };
        // barriers must be in uniform control flow: all invocations of a workgroup run the same number of iterations
        text += &match (self.causal, self.split_head) {
            (true, 2..) => format!("let key_end = min(length, (group.x + 1u) * {WORKGROUP_SIZE}u); var phase = 0u;\n"),
            (false, 2..) => "let key_end = length; var phase = 0u;\n".to_owned(),
            _ => "let key_end = seen;\n".to_owned(),
        };
        match self.pass {
            Pass::Forward => self.forward(&mut text),
            Pass::Queries => self.queries(&mut text),
            Pass::Keys => self.keys(&mut text),
        }
        text
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        let mut variants = Vec::new();
        for pass in [Pass::Forward, Pass::Queries, Pass::Keys] {
            for (causal, software) in [(false, false), (false, true), (true, false), (true, true)] {
                variants.extend([4, 8, 12, 32, 64, 80, 128].map(|dim| Self::new(pass, causal, dim, software)));
            }
        }
        variants
    }
}
