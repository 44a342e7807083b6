//! A model's gradients as safetensors bytes.

use std::collections::HashMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

use super::layout::Layout;
use super::naming::Naming;
use super::save::{NamedTensor, write};
use crate::config::ClipConfig;
use crate::error::Result;
use crate::model::Clip;

/// As [`save`](super::save), with each parameter's gradient in its mapping; parameters without one are left out.
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
    let mut collector = Collector { path: Vec::new(), tensors: Vec::new(), gradients };
    model.visit(&mut collector);
    write(collector.tensors, &naming, HashMap::new()).await
}

struct Collector<'a> {
    path: Vec<String>,
    tensors: Vec<NamedTensor>,
    gradients: &'a GradientsParams,
}

impl ModuleVisitor for Collector<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(value) = self.gradients.get::<D>(param.id) {
            self.tensors.push(NamedTensor::new(&self.path, value));
        }
    }
}
