//! Products of matrices: views of tensors as operands, and the choice of a kernel.

use burn::backend::wgpu::{CubeTensor, into_contiguous};
use burn::tensor::DType;

use super::device::{is_software, state_of};
use super::launch::{empty_of, launch};
use super::wgsl::gemm::{Blocks, Gemm, Layout, Registers, Storage, Tiling};
#[cfg(not(target_family = "wasm"))]
use super::wgsl::gemm::{Cooperative, CooperativeTiling};

impl Storage {
    /// Of a float tensor.
    pub(super) fn of(tensor: &CubeTensor) -> Self {
        if tensor.dtype == DType::F16 { Self::F16 } else { Self::F32 }
    }
}

/// A matrix or a batch of them. Rows or columns are contiguous, and every stride is a multiple of four, so that a `vec4` begins at each.
pub(super) struct Matrices {
    tensor: CubeTensor,
    /// Rows and columns.
    pub(super) dims: [usize; 2],
    /// Of rows and columns, in values.
    strides: [usize; 2],
    pub(super) count: usize,
    /// Of the batch, in values.
    batch_stride: usize,
}

impl Matrices {
    /// From `[rows, columns]` or `[count, rows, columns]`; copies the tensor if its strides do not fit.
    pub(super) fn new(tensor: CubeTensor) -> Self {
        let fits = |strides: &[usize]| match strides {
            [batch @ .., stride, 1] | [batch @ .., 1, stride] => {
                stride % 4 == 0 && batch.iter().all(|stride| stride % 4 == 0)
            }
            _ => false,
        };
        let tensor = if fits(tensor.meta.strides()) { tensor } else { into_contiguous(tensor) };
        let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
        let first = shape.num_dims() - 2;
        let (count, batch_stride) = if first == 0 { (1, 0) } else { (shape[0], strides[0]) };
        let (dims, strides) = ([shape[first], shape[first + 1]], [strides[first], strides[first + 1]]);
        Self { tensor, dims, strides, count, batch_stride }
    }

    /// The transposes, without a copy.
    pub(super) fn t(self) -> Self {
        let ([rows, columns], [row, column]) = (self.dims, self.strides);
        Self { dims: [columns, rows], strides: [column, row], ..self }
    }

    /// Layout if dimension `k` is summed over, and the stride of the dimension that is not contiguous.
    fn layout(&self, k: usize) -> (Layout, usize) {
        if self.strides[k] == 1 {
            (Layout::KContiguous, self.strides[1 - k])
        } else {
            (Layout::KStrided, self.strides[k])
        }
    }

    /// Values from one product's matrix to the next: 0 for a single matrix, which all products share.
    fn step(&self) -> usize {
        if self.count == 1 { 0 } else { self.batch_stride }
    }
}

/// `a b + bias`, stored as `c`.
///
/// # Shapes
/// - a: `[m, k]`; b: `[k, n]`; bias: `[n]`; batches of equal length, or one of a single matrix
/// - output: `[count * m, n]`
pub(super) fn product(a: Matrices, b: Matrices, bias: Option<CubeTensor>, c: Storage) -> CubeTensor {
    let ([m, k], n) = (a.dims, b.dims[1]);
    let ((a_layout, a_stride), (b_layout, b_stride)) = (a.layout(1), b.layout(0));
    let inputs: Vec<&CubeTensor> = [&a.tensor, &b.tensor].into_iter().chain(&bias).collect();
    let storage = [Storage::of(&a.tensor), Storage::of(&b.tensor), c];
    let gemm = Gemm { a: a_layout, b: b_layout, storage, bias: bias.is_some() };
    let dims = [m, n, k, a_stride / 4, b_stride / 4, a.step() / 4, b.step() / 4];
    run(gemm, &inputs, &dims, a.count.max(b.count))
}

/// Runs the kernel that suits the device and the shapes; `dims` as in [`super::wgsl::gemm`].
pub(super) fn run(gemm: Gemm, inputs: &[&CubeTensor], dims: &[usize], count: usize) -> CubeTensor {
    let (m, n) = (dims[0], dims[1]);
    let dtype = if gemm.storage[2] == Storage::F32 { DType::F32 } else { DType::F16 };
    let out = empty_of(inputs[0], [count * m, n], dtype);
    #[cfg(not(target_family = "wasm"))]
    if let Some(tiling) = CooperativeTiling::select(&gemm, dims, count)
        && has_cooperative_matrices(inputs[0])
    {
        let [x, y] = tiling.workgroups([m, n]);
        launch(Cooperative { gemm, tiling }, inputs, &[&out], dims, [x, y, count]);
        return out;
    }
    if is_software(inputs[0]) {
        let [x, y] = Registers::workgroups([m, n]);
        launch(Registers(gemm), inputs, &[&out], dims, [x, y, count]);
    } else {
        let selected = Tiling::select([m, n], count);
        let all = state_of(inputs[0]).compiles_all_tilings;
        for tiling in Tiling::ALL.into_iter().filter(|&tiling| all || tiling == selected) {
            let [x, y] = tiling.workgroups([m, n]);
            launch(Blocks { gemm, tiling }, inputs, &[&out], dims, [x, y, count]);
        }
    }
    out
}

/// Whether the device can run [`Cooperative`].
#[cfg(not(target_family = "wasm"))]
fn has_cooperative_matrices(tensor: &CubeTensor) -> bool {
    use super::wgsl::gemm::SUBGROUP_SIZE;
    let hardware = &tensor.client.properties().hardware;
    hardware.plane_size_min == SUBGROUP_SIZE as u32
        && hardware.plane_size_max == SUBGROUP_SIZE as u32
        && hardware.max_shared_memory_size >= CooperativeTiling::MAX_MEMORY
        && state_of(tensor).cooperative_matrices
}
