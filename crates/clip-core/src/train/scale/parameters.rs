//! Parameters of a model, without their values.

use burn::module::Param;
use burn::tensor::Tensor;

use crate::config::ClipConfig;
use crate::device::cpu;
use crate::model::{ParamVisitor, Towers, matrix_parts, visit_params};
use crate::train::options::{RunOptions, Tuning};
use crate::train::tuning::blocks;

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parameter {
    /// Whether it is of the image tower.
    pub(super) of_images: bool,
    /// Number of values.
    pub(super) count: usize,
    /// Whether it has a gradient.
    pub(super) is_trained: bool,
    /// Whether it is part of an adapter.
    pub(super) is_adapter: bool,
    /// Whether Muon trains it, where that is set.
    pub(super) is_block_matrix: bool,
}

/// Returns the parameters in the order of [`visit_params`], with the adapters of the run.
pub(super) fn of(config: &ClipConfig, options: &RunOptions) -> Vec<Parameter> {
    let model = config.blank(Towers::Both, None, &cpu());
    let mut list = List { options, blocks: blocks(&model), parameters: Vec::new() };
    visit_params(&model, &mut list);
    list.parameters
}

struct List<'a> {
    options: &'a RunOptions,
    blocks: [usize; 2],
    parameters: Vec<Parameter>,
}

impl ParamVisitor for List<'_> {
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>) {
        let RunOptions { lock, tuning, .. } = *self.options;
        let (of_images, of_texts) = (path.starts_with("visual."), path.starts_with("text."));
        let is_locked = lock.is_some_and(|tower| of_images && tower.image() || of_texts && tower.text());
        let dims = param.lazy_shape();
        let parameter = Parameter {
            of_images,
            count: dims.num_elements(),
            is_trained: !is_locked && tuning.trains(path, self.blocks),
            is_adapter: false,
            is_block_matrix: matrix_parts(path).is_some(),
        };
        self.parameters.push(parameter.clone());
        if let (Tuning::Lora { rank, .. }, true) = (tuning, parameter.is_block_matrix) {
            for side in [dims[0], dims[D - 1]] {
                let count = rank * side;
                self.parameters.push(Parameter { count, is_trained: !is_locked, is_adapter: true, ..parameter });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::published;

    #[test]
    fn published_models_have_their_numbers_of_parameters() {
        // open_clip/docs/model_profile.csv
        for (model, millions) in [("ViT-B-32", 151.28), ("ViT-B-16", 149.62), ("ViT-L-14", 427.62)] {
            let workload = published(model, "{}", 1);
            assert_eq!((workload.parameters() as f64 / 1e4).round() / 1e2, millions);
            assert_eq!(workload.trained(), workload.parameters());
        }
    }
}
