//! Minimises a smooth function: L-BFGS with a line search for the strong Wolfe conditions. References are to Nocedal & Wright,
//! "Numerical Optimization", second edition.
//!
//! Ours, because Burn's needs autodiff, and argmin adds 44 kB to a module, `lbfgsb-rs-pure` 26 kB (gzip).

use std::collections::VecDeque;

use crate::error::Result;

/// Number of steps that the Hessian is estimated from.
const HISTORY: usize = 10;
/// Most iterations, as in CLIP's use of scikit-learn.
const MOST_ITERATIONS: usize = 1000;
/// Largest component of a gradient that counts as zero.
const ZERO_GRADIENT: f64 = 1e-7;
/// Relative change of a value that is lost in the rounding of objectives computed in f32.
const FLAT: f64 = 1e-9;
/// Most evaluations of one line search.
const MOST_TRIALS: usize = 30;
/// Constants of the Wolfe conditions: of sufficient decrease and of curvature.
const DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;

/// The function at a point.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) x: Vec<f64>,
    pub(super) value: f64,
    pub(super) gradient: Vec<f64>,
}

/// A point of a line search.
struct Trial {
    /// Distance from the start, in lengths of the direction.
    at: f64,
    /// Derivative along the direction.
    slope: f64,
    point: Point,
}

/// Returns the lowest point that is reached from `start`: where the gradient is zero, or where rounding hides any further descent.
/// `objective` returns value and gradient; where it is not finite, the search goes no further.
///
/// # Errors
/// Those of `objective`.
pub(super) fn minimize(start: Vec<f64>, mut objective: impl FnMut(&[f64]) -> Result<(f64, Vec<f64>)>) -> Result<Point> {
    let mut evaluate = |x: Vec<f64>| objective(&x).map(|(value, gradient)| Point { x, value, gradient });
    let mut point = evaluate(start)?;
    let mut history = VecDeque::with_capacity(HISTORY + 1);
    for _ in 0..MOST_ITERATIONS {
        if point.gradient.iter().all(|g| g.abs() <= ZERO_GRADIENT) {
            break;
        }
        let direction = descent(&point.gradient, &history);
        let first = if history.is_empty() { 1.0 / norm(&point.gradient).max(1.0) } else { 1.0 };
        let Some(next) = search(&point, &direction, first, &mut evaluate)? else { break };
        let step: Vec<f64> = next.x.iter().zip(&point.x).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = next.gradient.iter().zip(&point.gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&step, &change);
        // the estimate has to stay positive definite
        if curvature > f64::EPSILON * dot(&change, &change) {
            history.push_back((step, change, curvature));
            if history.len() > HISTORY {
                history.pop_front();
            }
        }
        point = next;
    }
    Ok(point)
}

/// Algorithm 7.4: the negative gradient times the estimated inverse of the Hessian.
fn descent(gradient: &[f64], history: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut weights = Vec::with_capacity(HISTORY);
    for (step, change, curvature) in history.iter().rev() {
        let weight = dot(step, &direction) / curvature;
        add(&mut direction, -weight, change);
        weights.push(weight);
    }
    if let Some((_, change, curvature)) = history.back() {
        let scale = curvature / dot(change, change); // equation 7.20
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change, curvature), weight) in history.iter().zip(weights.iter().rev()) {
        let correction = weight - dot(change, &direction) / curvature;
        add(&mut direction, correction, step);
    }
    direction
}

/// Algorithms 3.5 and 3.6 in one loop: `high` is unknown until the search has gone too far. Returns a point that meets the strong
/// Wolfe conditions, or else the lowest that was met; `None` if there is none below the start.
fn search(
    start: &Point,
    direction: &[f64],
    first: f64,
    evaluate: &mut impl FnMut(Vec<f64>) -> Result<Point>,
) -> Result<Option<Point>> {
    let slope = dot(&start.gradient, direction);
    let mut low = Trial { at: 0.0, slope, point: start.clone() };
    let mut high: Option<Trial> = None;
    let mut at = first;
    for _ in 0..MOST_TRIALS {
        let mut x = start.x.clone();
        add(&mut x, at, direction);
        let point = evaluate(x)?;
        let trial = Trial { at, slope: dot(&point.gradient, direction), point };
        let decreases = trial.point.value <= start.value + DECREASE * at * slope && trial.point.value < low.point.value;
        if !decreases {
            high = Some(trial);
        } else if trial.slope.abs() <= -CURVATURE * slope {
            return Ok(Some(trial.point));
        } else {
            let towards_high = high.as_ref().map_or(1.0, |high| high.at - low.at);
            let passed = trial.slope * towards_high >= 0.0;
            let last = std::mem::replace(&mut low, trial);
            if passed {
                high = Some(last);
            }
        }
        at = match &high {
            None => 4.0 * low.at,
            // what is left to gain is lost in rounding
            Some(high) if ((high.at - low.at) * low.slope).abs() <= FLAT * low.point.value.abs() => break,
            Some(high) => between(&low, high),
        };
    }
    Ok((low.at > 0.0).then_some(low.point))
}

/// Minimum of the cubic through both trials (equation 3.59), kept away from the ends; the middle where there is none.
fn between(low: &Trial, high: &Trial) -> f64 {
    let width = high.at - low.at;
    let d1 = low.slope + high.slope - 3.0 * (high.point.value - low.point.value) / width;
    let d2 = (d1 * d1 - low.slope * high.slope).sqrt() * width.signum();
    let part = 1.0 - (high.slope + d2 - d1) / (high.slope - low.slope + 2.0 * d2);
    low.at + width * if part.is_finite() { part.clamp(0.1, 0.9) } else { 0.5 }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `to += factor * values`
fn add(to: &mut [f64], factor: f64, values: &[f64]) {
    for (to, value) in to.iter_mut().zip(values) {
        *to += factor * value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ClipError;

    /// `Σ 100 (xᵢ₊₁ - xᵢ²)² + (1 - xᵢ)²`, whose minimum lies at the end of a bent valley, at 1.
    fn rosenbrock(x: &[f64]) -> (f64, Vec<f64>) {
        let (mut value, mut gradient) = (0.0, vec![0.0; x.len()]);
        for i in 0..x.len() - 1 {
            let (rise, run) = (x[i + 1] - x[i] * x[i], 1.0 - x[i]);
            value += 100.0 * rise * rise + run * run;
            gradient[i] -= 400.0 * x[i] * rise + 2.0 * run;
            gradient[i + 1] += 200.0 * rise;
        }
        (value, gradient)
    }

    #[test]
    fn a_bent_valley_is_followed_to_its_end() {
        let mut evaluations = 0;
        let end = minimize(vec![-1.2, 1.0, -1.2, 1.0], |x| {
            evaluations += 1;
            Ok(rosenbrock(x))
        })
        .unwrap();
        assert!(end.x.iter().all(|x| (x - 1.0).abs() < 1e-4), "{:?}", end.x);
        assert!(evaluations < 150, "{evaluations}");
    }

    #[test]
    fn steep_and_flat_directions_are_both_descended() {
        let scales = [1e-3, 1.0, 1e3, 1e6];
        let end = minimize(vec![5.0; 4], |x| {
            let value = x.iter().zip(scales).map(|(x, scale)| 0.5 * scale * (x - 1.0) * (x - 1.0)).sum();
            Ok((value, x.iter().zip(scales).map(|(x, scale)| scale * (x - 1.0)).collect()))
        })
        .unwrap();
        assert!(end.x.iter().all(|x| (x - 1.0).abs() < 1e-3), "{:?}", end.x);
    }

    #[test]
    fn the_search_turns_back_where_the_function_ends() {
        // x - ln x exists above 0 only
        let end = minimize(vec![30.0], |x| Ok((x[0] - x[0].ln(), vec![1.0 - 1.0 / x[0]]))).unwrap();
        assert!((end.x[0] - 1.0).abs() < 1e-4, "{:?}", end.x);
    }

    #[test]
    fn rounding_ends_the_descent() {
        let mut evaluations = 0;
        let end = minimize(vec![3.0, -2.0], |x| {
            evaluations += 1;
            let value = x[0] * x[0] + 3.0 * x[1] * x[1] + 1000.0;
            Ok((f64::from(value as f32), vec![2.0 * x[0] + 1e-5, 6.0 * x[1] - 1e-5]))
        })
        .unwrap();
        assert!(end.x.iter().all(|x| x.abs() < 0.02), "{:?}", end.x);
        assert!(evaluations < 100, "{evaluations}");
    }

    #[test]
    fn an_error_of_the_objective_is_passed_on() {
        let error = minimize(vec![1.0], |_| Err(ClipError::DeviceFailed { message: "lost".into() })).unwrap_err();
        assert_eq!(error.code(), "device-failed");
    }
}
