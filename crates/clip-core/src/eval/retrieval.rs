//! Recall at k.

use crate::error::{ClipError, Result};

/// Share of queries with one of their positives among the k most similar candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recall {
    /// k = 1.
    pub at_1: f64,
    /// k = 5.
    pub at_5: f64,
    /// k = 10.
    pub at_10: f64,
    /// Median rank of the nearest positive; 1 is best.
    pub median_rank: f64,
    /// Number of queries.
    pub queries: usize,
}

/// Returns the rank of the highest-scoring positive of a query: 1 + the number of higher scores. Equal scores rank by index, so that a
/// collapsed model, with equal scores for all candidates, is at chance level.
pub fn rank_of(scores: &[f32], positives: &[usize]) -> usize {
    let rank = |positive: usize| {
        let target = scores[positive];
        1 + scores
            .iter()
            .enumerate()
            .filter(|&(i, &s)| s > target || (s == target && i < positive) || s.is_nan())
            .count()
    };
    let best = positives.iter().copied().reduce(|best, other| if scores[other] > scores[best] { other } else { best });
    best.map_or(scores.len(), rank)
}

/// Computes recall of queries in a gallery, given the indices of each query's positives.
///
/// # Shapes
/// - queries: `[query_count, dim]`; gallery: `[gallery_count, dim]`, rows of length one, row-major; positives: `[query_count]`
///
/// # Errors
/// `empty-batch` without queries; `count-mismatch` for an index beyond the gallery.
pub fn recall(queries: &[f32], gallery: &[f32], dim: usize, positives: &[Vec<usize>]) -> Result<Recall> {
    let (count, gallery_count) = (positives.len(), gallery.len() / dim);
    if count == 0 {
        return Err(ClipError::EmptyBatch { what: "pair".into() });
    }
    let needed = positives.iter().flatten().map(|&item| item + 1).max().unwrap_or(0);
    if queries.len() != count * dim || gallery_count < needed {
        return Err(ClipError::CountMismatch {
            left: "queries' positives".into(),
            left_count: needed,
            right: "candidates".into(),
            right_count: gallery_count,
        });
    }
    let mut ranks: Vec<usize> = queries
        .chunks_exact(dim)
        .zip(positives)
        .map(|(query, positives)| rank_of(&similarities(query, gallery, dim), positives))
        .collect();
    ranks.sort_unstable();
    let at = |k: usize| ranks.partition_point(|&rank| rank <= k) as f64 / count as f64;
    let median_rank = (ranks[(count - 1) / 2] + ranks[count / 2]) as f64 / 2.0;
    Ok(Recall { at_1: at(1), at_5: at(5), at_10: at(10), median_rank, queries: count })
}

fn similarities(query: &[f32], gallery: &[f32], dim: usize) -> Vec<f32> {
    gallery.chunks_exact(dim).map(|item| item.iter().zip(query).map(|(a, b)| a * b).sum()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_each(count: usize) -> Vec<Vec<usize>> {
        (0..count).map(|i| vec![i]).collect()
    }

    #[test]
    fn recall_is_1_if_each_query_is_nearest_to_its_positive() {
        let items = [1.0, 0.0, 0.0, 1.0];
        assert_eq!(
            recall(&items, &items, 2, &one_each(2)).unwrap(),
            Recall { at_1: 1.0, at_5: 1.0, at_10: 1.0, median_rank: 1.0, queries: 2 }
        );
    }

    #[test]
    fn distractors_lower_recall() {
        // the distractor, at index 2, is nearer to query 0 than its positive
        let r = recall(&[1.0, 0.0, 0.0, 1.0], &[0.8, 0.6, 0.0, 1.0, 1.0, 0.0], 2, &one_each(2)).unwrap();
        assert_eq!((r.at_1, r.at_5, r.median_rank), (0.5, 1.0, 1.5));
    }

    #[test]
    fn a_collapsed_model_is_at_chance_level() {
        let same = [1.0, 0.0].repeat(20);
        let r = recall(&same, &same, 2, &one_each(20)).unwrap();
        assert_eq!((r.at_1, r.at_5, r.at_10), (0.05, 0.25, 0.5));
    }

    #[test]
    fn the_nearest_of_several_positives_counts() {
        // image 0 has a distant and a near caption, image 1 has one
        let captions = [-1.0, 0.0, 0.9, 0.1, 0.0, 1.0];
        let r = recall(&[1.0, 0.0, 0.0, 1.0], &captions, 2, &[vec![0, 1], vec![2]]).unwrap();
        assert_eq!((r.at_1, r.median_rank), (1.0, 1.0));
        let r = recall(&captions, &[1.0, 0.0, 0.0, 1.0], 2, &[vec![0], vec![0], vec![1]]).unwrap();
        assert_eq!((r.at_1, r.at_5), (2.0 / 3.0, 1.0));
        // positives at any index
        let r = recall(&[1.0, 0.0], &captions, 2, &[vec![0, 2]]).unwrap();
        assert_eq!((r.at_1, r.median_rank, r.queries), (0.0, 2.0, 1));
        assert_eq!(recall(&captions, &[1.0, 0.0], 2, &one_each(3)).unwrap_err().code(), "count-mismatch");
    }
}
