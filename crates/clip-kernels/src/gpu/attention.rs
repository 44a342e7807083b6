//! Attention in WGSL, straight from the rows where query, key and value lie side by side. Each invocation has one query of one
//! head and goes once over the keys, with the softmax's maximum and sum corrected as it goes (arXiv 2205.14135, section 3.1):
//! no scores are ever written.

use std::fmt::Write;

use burn::backend::wgpu::{CubeTensor, into_contiguous};

use super::shader::{Shader, empty, launch};

const WORKGROUP: u32 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pass {
    Forward,
    /// Gradient of the queries, and what the keys' pass needs of each: log of the softmax's sum, and output · gradient.
    Queries,
    /// Gradients of keys and values.
    Keys,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Attention {
    pass: Pass,
    causal: bool,
    head_dim: usize,
}

/// One line of the shader for each `vec4` of a head, with `#` for its number.
fn each(text: &mut String, count: usize, line: &str) {
    for i in 0..count {
        let _ = writeln!(text, "{}", line.replace('#', &i.to_string()));
    }
}

/// Declares `name` as the sum of the four lanes of `left · right`.
fn dot(text: &mut String, count: usize, name: &str, left: &str, right: &str) {
    let _ = writeln!(text, "var {name}_4 = vec4<f32>();");
    each(text, count, &format!("{name}_4 = fma({left}, {right}, {name}_4);"));
    let _ = writeln!(text, "let {name} = {name}_4.x + {name}_4.y + {name}_4.z + {name}_4.w;");
}

impl Attention {
    fn forward(&self, text: &mut String, d: usize) {
        each(text, d, "let q# = qkv[own + #u] * scale; var o# = vec4<f32>();");
        *text += "var top = -3.0e38; var sum = 0.0;\nfor (var j = 0u; j < seen; j++) {\n\
            let key = (item + j) * row + head + width; let value = key + width;\n";
        dot(text, d, "s", "q#", "qkv[key + #u]");
        *text += "let higher = max(top, s); let keep = exp(top - higher); let p = exp(s - higher);\n\
            top = higher; sum = sum * keep + p;\n";
        each(text, d, "o# = o# * keep + p * qkv[value + #u];");
        *text += "}\n";
        each(text, d, "out[(item + i) * width + head + #u] = o# / sum;");
    }

    /// Of query i: dS = P (dO · v - D), dq = Σ dS k, with D = O · dO = Σ P (dO · v).
    fn queries(&self, text: &mut String, d: usize) {
        each(text, d, "let q# = qkv[own + #u] * scale; let g# = grad[(item + i) * width + head + #u];");
        *text += "var top = -3.0e38; var sum = 0.0; var og = 0.0;\nfor (var j = 0u; j < seen; j++) {\n\
            let key = (item + j) * row + head + width; let value = key + width;\n";
        dot(text, d, "s", "q#", "qkv[key + #u]");
        dot(text, d, "gv", "g#", "qkv[value + #u]");
        *text += "let higher = max(top, s); let keep = exp(top - higher); let p = exp(s - higher);\n\
            top = higher; sum = sum * keep + p; og = og * keep + p * gv;\n}\n\
            og = og / sum; let log_sum = top + log(sum);\n";
        each(text, d, "var dq# = vec4<f32>();");
        *text +=
            "for (var j = 0u; j < seen; j++) {\nlet key = (item + j) * row + head + width; let value = key + width;\n";
        dot(text, d, "s", "q#", "qkv[key + #u]");
        dot(text, d, "gv", "g#", "qkv[value + #u]");
        *text += "let ds = exp(s - log_sum) * (gv - og) * scale;\n";
        each(text, d, "dq# = dq# + ds * qkv[key + #u];");
        *text += "}\n";
        each(text, d, "dqkv[own + #u] = dq#;");
        *text += "statistics[(id.z * dims[2] + id.y) * length + i] = vec2(log_sum, og);\n";
    }

    /// Of key i: dk = Σ dS q, dv = Σ P dO, over the queries that see it.
    fn keys(&self, text: &mut String, d: usize) {
        each(text, d, "let k# = qkv[own + width + #u] * scale; let v# = qkv[own + 2u * width + #u];");
        each(text, d, "var dk# = vec4<f32>(); var dv# = vec4<f32>();");
        let first = if self.causal { "i" } else { "0u" };
        let _ = writeln!(text, "for (var j = {first}; j < length; j++) {{");
        *text += "let query = (item + j) * row + head; let at = (item + j) * width + head;\n\
            let statistic = statistics[(id.z * dims[2] + id.y) * length + j];\n";
        dot(text, d, "s", "k#", "qkv[query + #u]");
        dot(text, d, "gv", "v#", "grad[at + #u]");
        *text += "let p = exp(s - statistic.x); let ds = p * (gv - statistic.y) * scale;\n";
        each(text, d, "dk# = dk# + ds * qkv[query + #u]; dv# = dv# + p * grad[at + #u];");
        *text += "}\n";
        each(text, d, "dqkv[own + width + #u] = dk#; dqkv[own + 2u * width + #u] = dv#;");
    }
}

impl Shader for Attention {
    fn buffers(&self) -> (&'static [&'static str], &'static [&'static str]) {
        match self.pass {
            Pass::Forward => (&["qkv"], &["out"]),
            Pass::Queries => (&["qkv", "grad"], &["dqkv", "statistics: vec2<f32>"]),
            Pass::Keys => (&["qkv", "grad", "statistics: vec2<f32>"], &["dqkv"]),
        }
    }

    fn workgroup(&self) -> [u32; 3] {
        [WORKGROUP, 1, 1]
    }

    fn body(&self) -> String {
        let d = self.head_dim / 4;
        let scale = (self.head_dim as f32).powf(-0.5);
        // id: position, head, item of the batch
        let mut text = format!(
            "let length = dims[0]; let width = dims[1] / 4u; let row = 3u * width; let scale = {scale:e}f;\n\
             let i = id.x; if (i >= length) {{ return; }}\n\
             let item = id.z * length; let head = id.y * {d}u; let own = (item + i) * row + head;\n"
        );
        text += if self.causal { "let seen = i + 1u;\n" } else { "let seen = length;\n" };
        match self.pass {
            Pass::Forward => self.forward(&mut text, d),
            Pass::Queries => self.queries(&mut text, d),
            Pass::Keys => self.keys(&mut text, d),
        }
        text
    }
}

/// # Shapes
/// - qkv: `[batch, length, 3 * width]`
struct Shape {
    batch: usize,
    length: usize,
    width: usize,
    heads: usize,
    causal: bool,
}

impl Shape {
    fn new(qkv: &CubeTensor, heads: usize, causal: bool) -> Self {
        let shape = qkv.meta.shape();
        Self { batch: shape[0], length: shape[1], width: shape[2] / 3, heads, causal }
    }

    fn launch(&self, pass: Pass, inputs: &[&CubeTensor], outputs: &[&CubeTensor]) {
        let shader = Attention { pass, causal: self.causal, head_dim: self.width / self.heads };
        let groups = [self.length.div_ceil(WORKGROUP as usize), self.heads, self.batch];
        launch(shader, inputs, outputs, &[self.length, self.width, self.heads], groups);
    }
}

/// # Shapes
/// - qkv: `[batch, length, 3 * width]`
/// - output: `[batch, length, width]`
pub(super) fn forward(qkv: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
    let qkv = into_contiguous(qkv);
    let shape = Shape::new(&qkv, heads, causal);
    let out = empty(&qkv, [shape.batch, shape.length, shape.width]);
    shape.launch(Pass::Forward, &[&qkv], &[&out]);
    out
}

/// Gradient of qkv.
///
/// # Shapes
/// - qkv: `[batch, length, 3 * width]`; grad: `[batch, length, width]`
/// - output: as qkv
pub(super) fn backward(qkv: CubeTensor, grad: CubeTensor, heads: usize, causal: bool) -> CubeTensor {
    let (qkv, grad) = (into_contiguous(qkv), into_contiguous(grad));
    let shape = Shape::new(&qkv, heads, causal);
    let dqkv = empty(&qkv, qkv.meta.shape().clone());
    let statistics = empty(&qkv, [shape.batch, shape.heads, shape.length, 2]);
    shape.launch(Pass::Queries, &[&qkv, &grad], &[&dqkv, &statistics]);
    shape.launch(Pass::Keys, &[&qkv, &grad, &statistics], &[&dqkv]);
    dqkv
}
