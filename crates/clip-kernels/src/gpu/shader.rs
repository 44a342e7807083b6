//! A compute shader in WGSL, and its launch: the text goes to the browser as it is, without a compiler of ours before it.

use std::fmt::Debug;
use std::hash::Hash;

use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::CubeCount;
use burn::cubecl::prelude::KernelId;
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn::tensor::{DType, Shape};

/// What tells one shader from another of its kind, and its text. Shapes are no part of it: they come with the launch, so that one
/// pipeline does for all.
pub(super) trait Shader: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// Inputs, then outputs: each an array of `vec4<f32>`, or of what stands behind the colon.
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>);
    /// Invocations of a workgroup.
    fn workgroup(&self) -> [u32; 3];
    /// What stands in `main`, which knows `id`, `group` and `local`; `dims` are the launch's.
    fn body(&self) -> String;
    /// What it has of the language beyond the standard.
    fn extensions(&self) -> &'static str {
        ""
    }
    /// What stands before `main`.
    fn declarations(&self) -> String {
        String::new()
    }
}

/// Declares `widened`, four values of what keeps two halves a word: exact, and no device needs half precision for it.
pub(super) const WIDENED: &str = "fn widened(halves: vec2<u32>) -> vec4<f32> {\n\
    return vec4(unpack2x16float(halves.x), unpack2x16float(halves.y));\n}\n";

/// Declares `halves`, which keeps four values two a word. What is too large becomes infinite, where pack2x16float may make of it
/// what it likes.
pub(super) const HALVES: &str = "fn halves(x: vec4<f32>) -> vec2<u32> {\n\
    let pairs = vec4(vec2(pack2x16float(x.xy)), vec2(pack2x16float(x.zw)));\n\
    let bits = (pairs >> vec4(0u, 16u, 0u, 16u)) & vec4(0xffffu);\n\
    let infinite = ((bitcast<vec4<u32>>(x) >> vec4(16u)) & vec4(0x8000u)) | vec4(0x7c00u);\n\
    let all = select(bits, infinite, abs(x) >= vec4(65520.0));\n\
    return vec2(all.x | (all.y << 16u), all.z | (all.w << 16u));\n}\n";

/// Most workgroups that WebGPU grants in one dimension.
pub(super) const MOST_GROUPS: usize = 65_535;

/// So many workgroups in two dimensions, as far as one does not do: the second counts whole [`MOST_GROUPS`].
pub(super) fn folded(groups: usize) -> [usize; 3] {
    [groups.min(MOST_GROUPS), groups.div_ceil(MOST_GROUPS), 1]
}

struct Wgsl<S>(S);

impl<S: Shader> KernelSource for Wgsl<S> {
    fn source(&self) -> SourceTemplate {
        let (inputs, outputs) = self.0.buffers();
        // where tensors share pages, one that is written makes all of them writable
        let read = if cfg!(target_family = "wasm") { "read" } else { "read_write" };
        let named = inputs.iter().map(|name| (name, read)).chain(outputs.iter().map(|name| (name, "read_write")));
        let mut text = self.0.extensions().to_owned();
        for (binding, (name, access)) in named.enumerate() {
            let (name, element) = name.split_once(": ").unwrap_or((name, "vec4<f32>"));
            text += &format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;\n");
        }
        let (last, [x, y, z]) = (inputs.len() + outputs.len(), self.0.workgroup());
        text += &format!(
            "@group(0) @binding({last}) var<storage, read> dims: array<u32>;\n{}\n\
             @compute @workgroup_size({x}, {y}, {z})\n\
             fn main(@builtin(global_invocation_id) id: vec3<u32>, @builtin(workgroup_id) group: vec3<u32>,\n\
             @builtin(local_invocation_id) local: vec3<u32>) {{\n{}}}\n",
            self.0.declarations(),
            self.0.body()
        );
        SourceTemplate::new(text)
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Runs a shader over `groups` workgroups.
pub(super) fn launch<S: Shader>(
    shader: S,
    inputs: &[&CubeTensor],
    outputs: &[&CubeTensor],
    dims: &[usize],
    groups: [usize; 3],
) {
    let client = outputs[0].client.clone();
    let mut arguments = KernelArguments::new();
    for tensor in inputs.iter().chain(outputs) {
        arguments = arguments.with_buffer(tensor.handle.clone().binding());
    }
    let words = dims.chunks(2).map(|pair| pair[0] as u64 | (pair.get(1).copied().unwrap_or(0) as u64) << 32);
    arguments.info = MetadataBindingInfo::custom(words.collect());
    let [x, y, z] = shader.workgroup();
    let kernel = SourceKernel::new(Wgsl(shader), CubeDim::new_3d(x, y, z));
    let [x, y, z] = groups.map(|count| count as u32);
    client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
}

/// A tensor beside `like`, with nothing in it yet.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_of(like, shape, DType::F32)
}

/// The same, of f32 or f16.
pub(super) fn empty_of(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}

/// Whether the device is a rasteriser that computes on the CPU: four lanes wide, and slow where invocations wait for each other.
pub(super) fn in_software(tensor: &CubeTensor) -> bool {
    tensor.client.properties().hardware.plane_size_max <= 4
}

/// For shaders that make of each four values four others, wherever they stand.
pub(super) mod by_values {
    use burn::backend::wgpu::CubeTensor;

    use super::{MOST_GROUPS, Shader, folded};

    pub(in super::super) const WORKGROUP: [u32; 3] = [64, 1, 1];

    /// First lines of the body: `i` is where the four stand.
    pub(in super::super) fn begin() -> String {
        format!("let i = id.x + id.y * {}u;\nif (i >= dims[0]) {{ return; }}\n", MOST_GROUPS * WORKGROUP[0] as usize)
    }

    /// Over all values of the outputs; `numbers` come after the count.
    pub(in super::super) fn launch<S: Shader>(
        shader: S,
        inputs: &[&CubeTensor],
        outputs: &[&CubeTensor],
        numbers: &[f32],
    ) {
        let count = outputs[0].meta.shape().num_elements() / 4;
        let groups = count.div_ceil(WORKGROUP[0] as usize);
        let dims: Vec<usize> =
            [count].into_iter().chain(numbers.iter().map(|number| number.to_bits() as usize)).collect();
        super::launch(shader, inputs, outputs, &dims, folded(groups));
    }
}
