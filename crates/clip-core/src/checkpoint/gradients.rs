//! Saves a model's gradients as safetensors.

use std::collections::HashMap;

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::layout::Layout;
use super::naming::Naming;
use super::save::{NamedTensor, write};
use crate::config::ClipConfig;
use crate::error::Result;
use crate::model::{Clip, ParamVisitor, visit_params};

/// As [`save`](super::save), with gradients instead of values. Parameters without a gradient are left out.
///
/// # Errors
/// As there.
pub async fn save_gradients(
    model: &Clip,
    config: &ClipConfig,
    gradients: &GradientsParams,
    layout: Layout,
) -> Result<Vec<u8>> {
    let naming = Naming::new(layout, config)?;
    let mut collector = Collector { tensors: Vec::new(), gradients };
    visit_params(model, &mut collector);
    write(collector.tensors, &naming, HashMap::new()).await
}

struct Collector<'a> {
    tensors: Vec<NamedTensor>,
    gradients: &'a GradientsParams,
}

impl ParamVisitor for Collector<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        if let Some(value) = self.gradients.get::<D>(param.id) {
            self.tensors.push(NamedTensor::new(path, value));
        }
    }
}
