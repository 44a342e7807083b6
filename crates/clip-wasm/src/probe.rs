//! A linear probe.

use clip_core::eval::LinearProbe;
use wasm_bindgen::prelude::*;

use crate::error::{JsResult, js};

/// Multinomial logistic regression on features.
#[wasm_bindgen(js_name = LinearProbe)]
pub struct JsLinearProbe(LinearProbe);

#[wasm_bindgen(js_class = LinearProbe)]
impl JsLinearProbe {
    /// Fits `[count, dim]` features to `classes`; `c` is scikit-learn's `C`.
    pub fn fit(features: Vec<f32>, dim: usize, classes: Vec<u32>, class_count: usize, c: f64) -> JsResult<Self> {
        js(LinearProbe::fit(&features, dim, &classes, class_count, c)).map(Self)
    }

    /// A probe from its weights.
    #[wasm_bindgen(constructor)]
    pub fn new(weights: Vec<f32>, dim: usize) -> Self {
        Self(LinearProbe { weights, dim })
    }

    /// `[classes, dim + 1]`: weights of the features, then the bias.
    #[wasm_bindgen(getter)]
    pub fn weights(&self) -> Vec<f32> {
        self.0.weights.clone()
    }

    /// Probabilities of the classes, `[count, classes]`.
    pub fn probabilities(&self, features: Vec<f32>) -> JsResult<Vec<f32>> {
        js(self.0.probabilities(&features))
    }
}
