//! Ranges that options of a run may have; an error names the option.

use crate::error::{ClipError, Result};

pub(super) fn at_least_1(option: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(ClipError::invalid_option(option, "a whole number above 0", value))
}

/// Above 0 in single precision too, in which GPUs have no subnormal numbers.
pub(super) fn positive(option: &str, value: f64) -> Result<()> {
    if value > 0.0 && (value as f32).is_normal() {
        return Ok(());
    }
    Err(ClipError::invalid_option(option, "a number from 1.2e-38 to 3.4e38", value))
}

pub(super) fn positive_or_0(option: &str, value: f64) -> Result<()> {
    if value == 0.0 || value > 0.0 && (value as f32).is_normal() {
        return Ok(());
    }
    Err(ClipError::invalid_option(option, "0, or a number from 1.2e-38 to 3.4e38", value))
}

pub(super) fn below_1(option: &str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    let name = option.rsplit('.').next().unwrap_or(option);
    Err(ClipError::invalid_option(option, &format!("0 ≤ {name} < 1"), value))
}
