//! One step of AdamW.

use super::{Shader, by_values};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::gpu) struct AdamW;

impl Shader for AdamW {
    fn buffers(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        (vec!["value", "gradient", "first", "second"], vec!["value_out", "first_out", "second_out"])
    }

    fn workgroup_size(&self) -> [u32; 3] {
        by_values::WORKGROUP_SIZE
    }

    fn body(&self) -> String {
        // dims: the number of fours, then the fields of AdamWRates in their order
        by_values::prologue()
            + "let g = gradient[i] * bitcast<f32>(dims[1]);
               let m = first[i] * bitcast<f32>(dims[2]) + g * bitcast<f32>(dims[3]);
               let v = second[i] * bitcast<f32>(dims[4]) + g * g * bitcast<f32>(dims[5]);
               let denominator = sqrt(v) / bitcast<f32>(dims[7]) + bitcast<f32>(dims[8]);
               value_out[i] = value[i] * bitcast<f32>(dims[9]) - m * bitcast<f32>(dims[6]) / denominator;
               first_out[i] = m;
               second_out[i] = v;
"
    }

    #[cfg(test)]
    fn variants() -> Vec<Self> {
        vec![Self]
    }
}
