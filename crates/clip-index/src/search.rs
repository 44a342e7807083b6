//! Exact search: the best rows for some queries, each row read once for all of them.

use crate::element::{Element, GROUP};
use crate::error::{IndexError, Result, list};
use crate::table::Table;
use crate::top_k::TopK;

/// The best rows for each of some queries, one query after another: the best score first, the lower slot first among equals.
#[derive(Debug, Clone, PartialEq)]
pub struct Hits {
    /// `[queries, hits]`
    pub slots: Vec<u32>,
    /// Cosine similarities, as many as slots.
    pub scores: Vec<f32>,
}

/// Sums of rounded products may be out by a little.
fn cosine(score: f32) -> f32 {
    score.clamp(-1.0, 1.0)
}

/// The bits of a group's slots: a bit in eight bytes, of which the last may be missing.
fn word_of(allowed: &[u8], first_slot: u32) -> u64 {
    let bytes = allowed.get(first_slot as usize / 8..).unwrap_or_default();
    let mut word = [0; 8];
    for (byte, allowed) in word.iter_mut().zip(bytes) {
        *byte = *allowed;
    }
    u64::from_le_bytes(word)
}

impl<E: Element> Table<E> {
    /// `queries` are unit vectors.
    pub(crate) fn search<'a>(
        &self,
        queries: impl ExactSizeIterator<Item = &'a [f32]>,
        k: usize,
        allowed: Option<&[u8]>,
    ) -> Result<Hits> {
        if k == 0 {
            return Err(IndexError::InvalidOption { option: "k", expected: "at least 1".into(), got: "0".into() });
        }
        let count = queries.len();
        let mut searches = list("queries", count)?;
        for query in queries {
            searches.push((E::query(query), TopK::new(k.min(self.len()).max(1))?));
        }
        for (i, block) in self.blocks.iter().enumerate() {
            for (j, group) in block.groups(self.steps).enumerate() {
                let first = self.slot(i, j * GROUP);
                let mask = group.live & allowed.map_or(u64::MAX, |allowed| word_of(allowed, first));
                if mask == 0 {
                    continue;
                }
                for (query, best) in &mut searches {
                    best.offer(first, mask, &E::scores(query, group.values, group.scales, mask));
                }
            }
        }
        let hits = count * k.min(self.len());
        let (mut slots, mut scores) = (list("hits", hits)?, list("hits", hits)?);
        for (_, best) in searches {
            for hit in best.into_sorted() {
                slots.push(hit.slot);
                scores.push(cosine(hit.score));
            }
        }
        Ok(Hits { slots, scores })
    }

    /// `query` is a unit vector.
    pub(crate) fn scores(&self, query: &[f32], slots: &[u32]) -> Result<Vec<f32>> {
        let query = E::query(query);
        let mut scores = list("scores", slots.len())?;
        for &slot in slots {
            let (block, row) = self.filled(slot)?;
            let (group, i) = (block.group(row / GROUP, self.steps), row % GROUP);
            scores.push(cosine(E::scores(&query, group.values, group.scales, 1 << i)[i]));
        }
        Ok(scores)
    }
}
