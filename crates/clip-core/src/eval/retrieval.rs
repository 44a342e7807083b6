//! Recall at k.

use crate::error::{ClipError, Result};

/// Share of queries whose own item is among the k most similar ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// k = 1.
    pub at_1: f64,
    /// k = 5.
    pub at_5: f64,
    /// k = 10.
    pub at_10: f64,
    /// Median rank of the own item; 1 is best.
    pub median_rank: f64,
}

/// Rank of item `own` for one query: 1 + the items that score higher. Equal scores rank by index, so that a collapsed
/// model, to which everything looks the same, gets no credit.
pub fn rank_of(scores: &[f32], own: usize) -> usize {
    let target = scores[own];
    1 + scores.iter().enumerate().filter(|&(i, &s)| s > target || (s == target && i < own) || s.is_nan()).count()
}

/// Recall of queries `0..queries` in a gallery whose item i belongs to query i; what follows in the gallery are
/// distractors.
///
/// # Shapes
/// - queries: `[query_count, dim]`; gallery: `[gallery_count, dim]`, rows of length one, row-major
///
/// # Errors
/// `empty-batch` without queries, `count-mismatch` for a gallery smaller than the queries.
pub fn recall(queries: &[f32], gallery: &[f32], dim: usize) -> Result<Recall> {
    let (count, gallery_count) = (queries.len() / dim, gallery.len() / dim);
    if count == 0 {
        return Err(ClipError::EmptyBatch { what: "pair".into() });
    }
    if gallery_count < count {
        return Err(ClipError::CountMismatch {
            left: "queries".into(),
            left_count: count,
            right: "items".into(),
            right_count: gallery_count,
        });
    }
    let mut ranks: Vec<usize> = queries
        .chunks_exact(dim)
        .enumerate()
        .map(|(own, query)| rank_of(&similarities(query, gallery, dim), own))
        .collect();
    ranks.sort_unstable();
    let at = |k: usize| ranks.partition_point(|&rank| rank <= k) as f64 / count as f64;
    let median_rank = (ranks[(count - 1) / 2] + ranks[count / 2]) as f64 / 2.0;
    Ok(Recall { at_1: at(1), at_5: at(5), at_10: at(10), median_rank })
}

fn similarities(query: &[f32], gallery: &[f32], dim: usize) -> Vec<f32> {
    gallery.chunks_exact(dim).map(|item| item.iter().zip(query).map(|(a, b)| a * b).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finds_its_own() {
        let items = [1.0, 0.0, 0.0, 1.0];
        assert_eq!(recall(&items, &items, 2).unwrap(), Recall { at_1: 1.0, at_5: 1.0, at_10: 1.0, median_rank: 1.0 });
    }

    #[test]
    fn distractors_count() {
        // the distractor (third) is nearer to query 0 than its own item
        let r = recall(&[1.0, 0.0, 0.0, 1.0], &[0.8, 0.6, 0.0, 1.0, 1.0, 0.0], 2).unwrap();
        assert_eq!((r.at_1, r.at_5, r.median_rank), (0.5, 1.0, 1.5));
    }

    #[test]
    fn a_collapsed_model_gets_chance_level() {
        let same = [1.0, 0.0].repeat(20);
        let r = recall(&same, &same, 2).unwrap();
        assert_eq!((r.at_1, r.at_5, r.at_10), (0.05, 0.25, 0.5));
    }
}
