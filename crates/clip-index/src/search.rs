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

/// The bits of a group's slots: eight bytes, of which some may be missing.
fn word_of(allowed: &[u8], group: usize) -> u64 {
    let bytes = allowed.get(group * (GROUP / 8)..).unwrap_or_default();
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
        for (i, group) in self.groups(0) {
            let mask = group.live & allowed.map_or(u64::MAX, |allowed| word_of(allowed, i));
            if mask == 0 {
                continue;
            }
            for (query, best) in &mut searches {
                best.offer((i * GROUP) as u32, mask, &E::scores(query, group.values, group.scales, mask));
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::RngExt;

    use crate::testing::{STORAGES, clustered, decoded, encoded, put, random, ranked, rows_of, vectors};
    use crate::{Codec, IndexError, Rows, Storage};

    /// The query of an int8 search has 15 bits.
    fn tolerance(storage: Storage) -> f64 {
        if storage == Storage::Int8 { 1e-4 } else { 2e-6 }
    }

    /// Compares a search with one that was written down in f64. Rows with all but equal scores may change places.
    fn check(rows: &Rows, held: &BTreeMap<u32, Vec<f32>>, query: &[f32], k: usize, allowed: Option<&[u8]>) {
        let tolerance = tolerance(rows.codec().storage());
        let is_allowed = |slot: u32| {
            allowed.is_none_or(|bits| bits.get(slot as usize / 8).is_some_and(|byte| byte >> (slot % 8) & 1 == 1))
        };
        let expected = ranked(query, held.iter().map(|(&slot, row)| (slot, row)).filter(|(slot, _)| is_allowed(*slot)));
        let hits = rows.search(query, k, allowed).unwrap();
        assert_eq!(hits.slots.len(), k.min(expected.len()));
        let true_scores: BTreeMap<u32, f64> = expected.iter().copied().collect();
        for ((slot, &score), (_, best)) in hits.slots.iter().zip(&hits.scores).zip(&expected) {
            assert!((f64::from(score) - best).abs() < tolerance, "{score} where {best} is the best left");
            assert!((f64::from(score) - true_scores[slot]).abs() < tolerance);
        }
        assert!(hits.scores.is_sorted_by(|a, b| a >= b));
        assert_eq!(hits.slots.iter().collect::<std::collections::BTreeSet<_>>().len(), hits.slots.len());
    }

    /// What the rows of a table stand for, by slot.
    fn held(codec: &Codec, vectors: &[Vec<f32>]) -> BTreeMap<u32, Vec<f32>> {
        (0..).zip(vectors.iter().map(|vector| decoded(codec, vector))).collect()
    }

    #[test]
    fn finds_what_a_plain_search_finds() {
        for storage in STORAGES {
            for dimension in [1, 2, 15, 16, 17, 63, 100, 512, 1000] {
                let vectors = vectors(300, dimension, 1);
                let rows = rows_of(storage, &vectors);
                let held = held(rows.codec(), &vectors);
                for query in &vectors[..3] {
                    for k in [1, 10, 300] {
                        check(&rows, &held, query, k, None);
                    }
                }
            }
        }
    }

    #[test]
    fn stored_rows_score_near_the_vectors_that_they_were() {
        let vectors = vectors(200, 512, 2);
        for (storage, tolerance) in STORAGES.into_iter().zip([1e-6, 1e-4, 2e-3]) {
            let hits = rows_of(storage, &vectors).search(&vectors[7], 200, None).unwrap();
            let exact: BTreeMap<_, _> = ranked(&vectors[7], (0..).zip(&vectors)).into_iter().collect();
            assert_eq!(hits.slots[0], 7);
            for (slot, score) in hits.slots.iter().zip(hits.scores) {
                assert!((f64::from(score) - exact[slot]).abs() < tolerance, "{storage:?}");
            }
        }
    }

    #[test]
    fn equal_rows_have_equal_scores_wherever_they_are_and_come_in_the_order_of_their_slots() {
        for storage in STORAGES {
            let mut vectors = vectors(5000, 40, 3);
            let same = [0, 1, 2, 3, 66, 700, 2049, 4998, 4999];
            for slot in same {
                vectors[slot] = vectors[5].iter().map(|x| 3.0 * x).collect();
            }
            let rows = rows_of(storage, &vectors);
            let hits = rows.search(&vectors[5], 12, None).unwrap();
            assert_eq!(hits.slots[..10], [0, 1, 2, 3, 5, 66, 700, 2049, 4998, 4999]);
            assert!(hits.scores[..10].iter().all(|score| score == &hits.scores[0]), "{:?}", hits.scores);
            assert!(hits.scores[10] < hits.scores[9]);
            // cut among equals: the lowest slots
            assert_eq!(rows.search(&vectors[5], 4, None).unwrap().slots, [0, 1, 2, 3]);
        }
    }

    #[test]
    fn removed_rows_are_not_found_and_their_slots_are_filled_again() {
        for storage in STORAGES {
            let vectors = vectors(700, 24, 4);
            let mut rows = rows_of(storage, &vectors[..500]);
            let mut held = held(rows.codec(), &vectors[..500]);
            let removed: Vec<u32> = (0..500).filter(|slot| slot % 3 == 0).collect();
            assert_eq!(rows.remove(&removed), removed.len());
            assert_eq!(rows.remove(&removed), 0);
            assert_eq!(rows.remove(&[90_000, u32::MAX]), 0);
            held.retain(|slot, _| slot % 3 != 0);
            assert_eq!(rows.len(), held.len());
            check(&rows, &held, &vectors[0], 20, None);
            assert_eq!(rows.scores(&vectors[0], &[1, 3]).unwrap_err(), IndexError::EmptySlot { slot: 3 });

            put(&mut rows, &removed[..100], &vectors[500..600]);
            put(&mut rows, &[1_000_000], &vectors[600..601]);
            // and filled ones are replaced
            put(&mut rows, &[1, 2], &vectors[601..603]);
            let new = removed[..100].iter().copied().chain([1_000_000, 1, 2]).zip(&vectors[500..]);
            held.extend(new.map(|(slot, vector)| (slot, decoded(rows.codec(), vector))));
            assert_eq!(rows.len(), held.len());
            check(&rows, &held, &vectors[0], 20, None);
            check(&rows, &held, &vectors[600], 20, None);
        }
    }

    #[test]
    fn a_filter_is_kept_to() {
        let vectors = vectors(1000, 33, 5);
        let mut random = random(6);
        for storage in STORAGES {
            let rows = rows_of(storage, &vectors);
            let held = held(rows.codec(), &vectors);
            for share in [0.002, 0.1, 0.9] {
                for bytes in [125, 60, 3] {
                    let bits = |_| (0..8).fold(0, |byte, bit| byte | u8::from(random.random_bool(share)) << bit);
                    let allowed: Vec<u8> = (0..bytes).map(bits).collect();
                    check(&rows, &held, &vectors[1], 10, Some(&allowed));
                    check(&rows, &held, &vectors[1], 1000, Some(&allowed));
                }
            }
            assert!(rows.search(&vectors[0], 5, Some(&[])).unwrap().slots.is_empty());
            assert!(rows.search(&vectors[0], 5, Some(&[0; 200])).unwrap().slots.is_empty());
        }
    }

    #[test]
    fn many_queries_find_what_each_finds_alone() {
        for storage in STORAGES {
            let vectors = vectors(300, 50, 7);
            let rows = rows_of(storage, &vectors);
            let all = rows.search(&vectors[..20].concat(), 7, None).unwrap();
            for (i, query) in vectors[..20].iter().enumerate() {
                let one = rows.search(query, 7, None).unwrap();
                assert_eq!((&all.slots[7 * i..][..7], &all.scores[7 * i..][..7]), (&one.slots[..], &one.scores[..]));
                assert_eq!(rows.scores(query, &one.slots).unwrap(), one.scores);
            }
        }
    }

    #[test]
    fn few_rows_are_all_found_and_none_in_an_empty_table() {
        for storage in STORAGES {
            let vectors = vectors(3, 20, 8);
            let rows = rows_of(storage, &vectors);
            check(&rows, &held(rows.codec(), &vectors), &vectors[2], usize::MAX, None);
            let empty = Rows::new(*rows.codec());
            assert!(empty.is_empty());
            assert!(empty.search(&vectors[0], 10, None).unwrap().slots.is_empty());
        }
    }

    #[test]
    fn bad_queries_are_refused() {
        let vectors = vectors(3, 20, 9);
        let rows = rows_of(Storage::Int8, &vectors);
        let code = |query: &[f32], k| rows.search(query, k, None).unwrap_err().code();
        assert_eq!(code(&vectors[0], 0), "invalid-option");
        assert_eq!(code(&vectors[0][1..], 1), "shape-mismatch");
        assert_eq!(code(&[], 1), "shape-mismatch");
        assert_eq!(code(&[0.0; 20], 1), "invalid-vector");
        assert_eq!(code(&[f32::NAN; 20], 1), "invalid-vector");
        let second = [vectors[0].clone(), vec![f32::INFINITY; 20]].concat();
        assert!(matches!(rows.search(&second, 1, None), Err(IndexError::InvalidVector { row: 1, .. })));
        assert_eq!(rows.scores(&vectors.concat(), &[0]).unwrap_err().code(), "shape-mismatch");
    }

    #[test]
    fn int8_finds_the_ten_nearest_when_its_best_forty_are_scored_again() {
        let vectors = clustered(20_000, 128, 200, 0.5, 10);
        let (int8, exact) = (rows_of(Storage::Int8, &vectors), rows_of(Storage::F32, &vectors));
        let f16 = Codec::new(128, Storage::F16).unwrap();
        let queries = clustered(100, 128, 200, 0.5, 10 + 7);
        let queries = queries
            .iter()
            .zip(&vectors)
            .map(|(noise, near)| noise.iter().zip(near).map(|(a, b)| 0.3 * a + b).collect());
        let (mut found, mut alone) = (0, 0);
        for query in queries.collect::<Vec<Vec<f32>>>() {
            let expected = exact.search(&query, 10, None).unwrap().slots;
            let best = int8.search(&query, 40, None).unwrap().slots;
            let rows: Vec<_> = best.iter().map(|&slot| vectors[slot as usize].clone()).collect();
            let mut again: Vec<_> = f16.scores(&query, &encoded(&f16, &rows)).unwrap().into_iter().zip(&best).collect();
            again.sort_by(|a, b| b.0.total_cmp(&a.0));
            found += again[..10].iter().filter(|(_, slot)| expected.contains(slot)).count();
            alone += best[..10].iter().filter(|slot| expected.contains(slot)).count();
        }
        assert!(found >= 990, "{found} of 1000");
        assert!((900..found).contains(&alone), "{alone} of 1000 without scoring again");
    }
}
