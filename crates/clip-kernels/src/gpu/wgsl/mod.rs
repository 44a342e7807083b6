//! Compute shaders as WGSL text: one type a kernel, one value a variant. The browser gets the text as it is, without CubeCL's compiler.

#![cfg_attr(
    not(feature = "webgpu"),
    allow(dead_code, unused_imports, reason = "without the GPU only tests use the shaders")
)]

pub(super) mod adamw;
pub(super) mod attention;
pub(super) mod by_values;
pub(super) mod gelu;
pub(super) mod gemm;
pub(super) mod grad_norm;
pub(super) mod layer_norm;
pub(super) mod sum_rows;

use std::fmt::Debug;
use std::hash::Hash;

/// A compute shader. Shapes are not part of it but come with the launch, so that one pipeline serves all.
pub(super) trait Shader: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// Names of the inputs, then of the outputs; each is an `array<vec4<f32>>`, or of the type after the colon.
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>);
    /// Invocations of a workgroup in x, y and z.
    fn workgroup_size(&self) -> [u32; 3];
    /// Statements of `main`. In scope: `id`, `group` and `local` (invocation, workgroup and invocation in the workgroup), and `dims`, an
    /// array of u32 that comes with the launch.
    fn body(&self) -> String;
    /// Directives at the top.
    fn directives(&self) -> &'static str {
        ""
    }
    /// Declarations before `main`.
    fn declarations(&self) -> String {
        String::new()
    }
    /// All values that a launch may use, for tests.
    #[cfg(test)]
    fn variants() -> Vec<Self>;
}

/// Access mode of input buffers.
#[derive(Debug, Clone, Copy)]
pub(super) enum InputAccess {
    Read,
    /// Natively tensors share buffers, and a buffer with one writable binding must have all writable.
    ReadWrite,
}

/// The shader's whole text; its entry point is `main`.
pub(super) fn text(shader: &impl Shader, input_access: InputAccess) -> String {
    let (inputs, outputs) = shader.buffers();
    let read = match input_access {
        InputAccess::Read => "read",
        InputAccess::ReadWrite => "read_write",
    };
    let named = inputs.iter().map(|name| (name, read)).chain(outputs.iter().map(|name| (name, "read_write")));
    let mut text = shader.directives().to_owned();
    for (binding, (name, access)) in named.enumerate() {
        let (name, element) = name.split_once(": ").unwrap_or((name, "vec4<f32>"));
        text += &format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;\n");
    }
    let (last, [x, y, z]) = (inputs.len() + outputs.len(), shader.workgroup_size());
    text += &format!(
        "@group(0) @binding({last}) var<storage, read> dims: array<u32>;\n{}\n\
         @compute @workgroup_size({x}, {y}, {z})\n\
         fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,\n\
         @builtin(local_invocation_id) local: vec3<u32>) {{\n{}}}\n",
        shader.declarations(),
        shader.body()
    );
    text
}

/// Most workgroups that WebGPU guarantees in one dimension.
pub(super) const MAX_WORKGROUPS: usize = 65_535;

/// Declares `unpack_f16`, which unpacks four f16 from two words. Exact, and needs no f16 support.
const UNPACK_F16: &str = "fn unpack_f16(halves: vec2<u32>) -> vec4<f32> {\n\
    return vec4(unpack2x16float(halves.x), unpack2x16float(halves.y));\n}\n";

/// Declares `pack_f16`, which packs four f32 as f16 into two words. Overflow becomes infinite; the result of pack2x16float would be
/// indeterminate.
const PACK_F16: &str = "fn pack_f16(x: vec4<f32>) -> vec2<u32> {\n\
    let pairs = vec4(vec2(pack2x16float(x.xy)), vec2(pack2x16float(x.zw)));\n\
    let bits = (pairs >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu);\n\
    let infinite = ((bitcast<vec4<u32>>(x) >> vec4(16u)) & vec4(0x8000u)) | vec4(0x7c00u);\n\
    let all = select(bits, infinite, abs(x) >= vec4(65520.0));\n\
    return vec2(all.x | (all.y << 16u), all.z | (all.w << 16u));\n}\n";

#[cfg(test)]
mod tests {
    use naga::front::wgsl;
    use naga::valid::{Capabilities, ValidationFlags, Validator};

    use super::gemm::{Blocks, Cooperative, Registers};
    use super::*;

    /// Parses and validates each variant of a shader, with both kinds of input buffers.
    fn validate<S: Shader>(capabilities: Capabilities) {
        let variants = S::variants();
        assert!(!variants.is_empty());
        for shader in variants {
            for access in [InputAccess::Read, InputAccess::ReadWrite] {
                let text = text(&shader, access);
                let module = wgsl::parse_str(&text)
                    .unwrap_or_else(|e| panic!("{shader:?}, {access:?}: {}", e.emit_to_string(&text)));
                Validator::new(ValidationFlags::all(), capabilities)
                    .validate(&module)
                    .unwrap_or_else(|e| panic!("{shader:?}, {access:?}: {}", e.emit_to_string(&text)));
            }
        }
    }

    #[test]
    fn every_variant_is_valid_wgsl_without_extensions() {
        // every device of WebGPU has pack2x16float and unpack2x16float
        let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        validate::<adamw::AdamW>(core);
        validate::<attention::Attention>(core);
        validate::<gelu::GeluShader>(core);
        validate::<Blocks>(core);
        validate::<Registers>(core);
        validate::<grad_norm::AddSumOfSquares>(core);
        validate::<layer_norm::LayerNorm>(core);
        validate::<layer_norm::ParameterGradients>(core);
        validate::<sum_rows::SumRows>(core);
    }

    /// Native only: these use wgpu's extension for cooperative matrices.
    #[test]
    fn every_cooperative_variant_is_valid_with_its_extensions() {
        let core = Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        validate::<Cooperative>(core | Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX);
    }

    #[test]
    #[should_panic(expected = "no definition in scope")]
    fn an_invalid_shader_is_found() {
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        struct Broken;

        impl Shader for Broken {
            fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
                (vec!["x"], vec!["y"])
            }

            fn workgroup_size(&self) -> [u32; 3] {
                [1, 1, 1]
            }

            fn body(&self) -> String {
                "y[id.x] = z;\n".to_owned()
            }

            fn variants() -> Vec<Self> {
                vec![Self]
            }
        }

        validate::<Broken>(Capabilities::empty());
    }
}
