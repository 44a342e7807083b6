//! Launches of [`Shader`]s and allocation of their outputs.

use burn::backend::wgpu::{CubeDim, CubeTensor, KernelSource, SourceKernel, SourceTemplate};
use burn::cubecl::CubeCount;
use burn::cubecl::prelude::KernelId;
use burn::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn::tensor::{DType, Shape};

use super::wgsl::{InputAccess, MAX_WORKGROUPS, Shader, by_values, text};

/// `count` workgroups as two dimensions, the first at most [`MAX_WORKGROUPS`].
pub(super) fn fold_workgroups(count: usize) -> [usize; 3] {
    [count.min(MAX_WORKGROUPS), count.div_ceil(MAX_WORKGROUPS), 1]
}

struct Wgsl<S>(S);

impl<S: Shader> KernelSource for Wgsl<S> {
    fn source(&self) -> SourceTemplate {
        let access = if cfg!(target_family = "wasm") { InputAccess::Read } else { InputAccess::ReadWrite };
        SourceTemplate::new(text(&self.0, access))
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.clone())
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

/// Runs a shader on `workgroups`; `dims` is what it reads as `dims`.
pub(super) fn launch<S: Shader>(
    shader: S,
    inputs: &[&CubeTensor],
    outputs: &[&CubeTensor],
    dims: &[usize],
    workgroups: [usize; 3],
) {
    let client = outputs[0].client.clone();
    let mut arguments = KernelArguments::new();
    for tensor in inputs.iter().chain(outputs) {
        arguments = arguments.with_buffer(tensor.handle.clone().binding());
    }
    let words = dims.chunks(2).map(|pair| pair[0] as u64 | (pair.get(1).copied().unwrap_or(0) as u64) << 32);
    arguments.info = MetadataBindingInfo::custom(words.collect());
    let [x, y, z] = shader.workgroup_size();
    let kernel = SourceKernel::new(Wgsl(shader), CubeDim::new_3d(x, y, z));
    let [x, y, z] = workgroups.map(|count| count as u32);
    client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
}

/// Runs a shader with [`by_values::prologue`] over all values of the outputs; its `dims` are their number in fours, then `scalars` as
/// bits.
pub(super) fn launch_by_values<S: Shader>(shader: S, inputs: &[&CubeTensor], outputs: &[&CubeTensor], scalars: &[f32]) {
    let count = outputs[0].meta.shape().num_elements() / 4;
    let workgroups = count.div_ceil(by_values::WORKGROUP_SIZE[0] as usize);
    let dims: Vec<usize> = [count].into_iter().chain(scalars.iter().map(|scalar| scalar.to_bits() as usize)).collect();
    launch(shader, inputs, outputs, &dims, fold_workgroups(workgroups));
}

/// An uninitialized f32 tensor on the device of `like`.
pub(super) fn empty(like: &CubeTensor, shape: impl Into<Shape>) -> CubeTensor {
    empty_of(like, shape, DType::F32)
}

/// An uninitialized tensor of f32 or f16 on the device of `like`.
pub(super) fn empty_of(like: &CubeTensor, shape: impl Into<Shape>, dtype: DType) -> CubeTensor {
    let shape = shape.into();
    let handle = like.client.empty(shape.num_elements() * dtype.size());
    CubeTensor::new_contiguous(like.client.clone(), like.device.clone(), shape, handle, dtype)
}
