//! Walks over the float parameters of a module, each with its path: `visual.Vit.conv1.weight`.
//!
//! Burn's visitors see a parameter without its path and are told of each module entered and left. The path is kept here, once.

use core::any::Any;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Sees each parameter of a [`visit_params`].
pub trait ParamVisitor {
    /// Called once a parameter, in the order of the module's fields.
    fn visit<const D: usize>(&mut self, path: &str, param: &Param<Tensor<D>>);
}

/// Replaces each parameter in a [`map_params`].
pub trait ParamMapper {
    /// Returns what takes the parameter's place.
    fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>>;
}

/// Shows every float parameter to a visitor.
pub fn visit_params(module: &impl Module, visitor: &mut impl ParamVisitor) {
    let with: &mut dyn VisitAnyRank = visitor;
    module.visit(&mut Walk { path: String::new(), with });
}

/// Returns the module with every float parameter replaced by a mapper.
pub fn map_params<M: Module>(module: M, mapper: &mut impl ParamMapper) -> M {
    let with: &mut dyn MapAnyRank = mapper;
    module.map(&mut Walk { path: String::new(), with })
}

/// Matrices of a Transformer block, by their names in it.
const BLOCK_MATRICES: [&str; 4] =
    ["attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"];

/// Returns the index of the Transformer block that a parameter belongs to and its name in the block; `None` outside the blocks.
pub(crate) fn block_of(path: &str) -> Option<(usize, &str)> {
    let (block, name) = path.split_once("transformer.resblocks.")?.1.split_once('.')?;
    Some((block.parse().ok()?, name))
}

/// Returns how many matrices stand side by side in a matrix of a block: 3 for query, key and value, 1 for the others. `None` for
/// any other parameter.
pub(crate) fn matrix_parts(path: &str) -> Option<usize> {
    let (_, name) = block_of(path)?;
    BLOCK_MATRICES.contains(&name).then_some(if name == "attn.in_proj_weight" { 3 } else { 1 })
}

struct Walk<'a, T: ?Sized> {
    /// Names of the modules entered, joined by dots.
    path: String,
    with: &'a mut T,
}

impl<T: ?Sized> Walk<'_, T> {
    fn enter(&mut self, name: &str) {
        if !self.path.is_empty() {
            self.path.push('.');
        }
        self.path.push_str(name);
    }

    fn exit(&mut self, name: &str) {
        // the first name has no dot before it
        self.path.truncate(self.path.len().saturating_sub(name.len() + 1));
    }
}

/// The walk is compiled for these two alone: for each visitor and mapper of its own it made an encoding module 2 % larger.
macro_rules! ranks {
    ($($rank:literal $visit:ident $map:ident),+) => {
        /// [`ParamVisitor`], a method a rank in place of a generic one.
        trait VisitAnyRank {
            $(fn $visit(&mut self, path: &str, param: &Param<Tensor<$rank>>);)+
        }

        impl<V: ParamVisitor> VisitAnyRank for V {
            $(fn $visit(&mut self, path: &str, param: &Param<Tensor<$rank>>) {
                self.visit(path, param);
            })+
        }

        /// [`ParamMapper`], a method a rank in place of a generic one.
        trait MapAnyRank {
            $(fn $map(&mut self, path: &str, param: Param<Tensor<$rank>>) -> Param<Tensor<$rank>>;)+
        }

        impl<M: ParamMapper> MapAnyRank for M {
            $(fn $map(&mut self, path: &str, param: Param<Tensor<$rank>>) -> Param<Tensor<$rank>> {
                self.map(path, param)
            })+
        }

        impl ModuleVisitor for Walk<'_, dyn VisitAnyRank + '_> {
            fn enter_module(&mut self, name: &str, _container_type: &str) {
                self.enter(name);
            }

            fn exit_module(&mut self, name: &str, _container_type: &str) {
                self.exit(name);
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let param: &dyn Any = param;
                $(if let Some(param) = param.downcast_ref() {
                    return self.with.$visit(&self.path, param);
                })+
                unreachable!("{}: parameters have 1 to 4 dimensions, not {D}", self.path)
            }
        }

        impl ModuleMapper for Walk<'_, dyn MapAnyRank + '_> {
            fn enter_module(&mut self, name: &str, _container_type: &str) {
                self.enter(name);
            }

            fn exit_module(&mut self, name: &str, _container_type: &str) {
                self.exit(name);
            }

            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let mut param = Some(param);
                let any: &mut dyn Any = &mut param;
                $(if let Some(param) = any.downcast_mut::<Option<Param<Tensor<$rank>>>>() {
                    *param = param.take().map(|param| self.with.$map(&self.path, param));
                } else)+ {
                    unreachable!("{}: parameters have 1 to 4 dimensions, not {D}", self.path)
                }
                param.expect("it was put back")
            }
        }
    };
}

ranks!(1 visit_1 map_1, 2 visit_2 map_2, 3 visit_3 map_3, 4 visit_4 map_4);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ClipConfig;
    use crate::device::cpu;
    use crate::model::Clip;

    #[derive(Default)]
    struct Paths(Vec<String>);

    impl ParamVisitor for Paths {
        fn visit<const D: usize>(&mut self, path: &str, _param: &Param<Tensor<D>>) {
            self.0.push(path.into());
        }
    }

    impl ParamMapper for Paths {
        fn map<const D: usize>(&mut self, path: &str, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            self.0.push(path.into());
            param
        }
    }

    fn model() -> Clip {
        ClipConfig::from_json(
            r#"{"embedDim": 8, "vision": {"imageSize": 8, "patchSize": 8, "width": 8, "layers": 2, "heads": 1},
                "text": {"contextLength": 4, "vocabSize": 9, "width": 8, "layers": 1, "heads": 1}}"#,
        )
        .unwrap()
        .init(1, &cpu())
    }

    #[test]
    fn paths_name_fields_and_indices_from_the_root() {
        let mut visited = Paths::default();
        visit_params(&model(), &mut visited);
        let Paths(paths) = &visited;
        assert_eq!(paths[0], "visual.Vit.conv1.weight");
        assert!(paths.contains(&"visual.Vit.transformer.resblocks.1.attn.out_proj.weight".into()));
        assert!(paths.contains(&"text.token_embedding.weight".into()));
        assert_eq!(paths.last().unwrap(), "logit_scale");
        assert_eq!(block_of(&paths[0]), None);
        assert_eq!(block_of("text.transformer.resblocks.11.ln_1.weight"), Some((11, "ln_1.weight")));
        assert_eq!(paths.iter().filter_map(|path| matrix_parts(path)).collect::<Vec<_>>(), [3, 1, 1, 1].repeat(3));
        let mut mapped = Paths::default();
        map_params(model(), &mut mapped);
        assert_eq!(mapped.0, visited.0);
    }
}
