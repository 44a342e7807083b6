//! Groups of near-duplicates.

use crate::element::{Element, GROUP, bits};
use crate::error::{IndexError, Result, list, zeros};
use crate::rows::{Rows, on};
use crate::table::Table;

/// What rounding may take from the similarity of equal rows.
const ROUNDING: f32 = 1e-5;

/// A search for groups of near-duplicates: rows that are joined by pairs whose cosine similarity reaches a threshold. It compares each
/// row with each, in steps, and needs 4 bytes a slot, however many pairs there are.
///
/// Rows may change between steps: those that were removed are in no group, those that were added or replaced perhaps not in theirs.
pub struct Duplicates {
    threshold: f32,
    /// A slot of the same group, which is lower; or the slot itself.
    parents: Vec<u32>,
    /// The group of rows to be compared with itself and all later ones.
    next: usize,
}

/// Groups of two rows or more, one after another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// Ascending in each group; groups come in the order of their lowest slots.
    pub slots: Vec<u32>,
    /// Where each group ends in `slots`.
    pub ends: Vec<u32>,
}

impl Duplicates {
    /// Begins a search.
    ///
    /// # Errors
    /// `InvalidOption` for a threshold that is not above 0 and at most 1; `OutOfMemory`
    pub fn new(rows: &Rows, threshold: f32) -> Result<Self> {
        if !(threshold > 0.0 && threshold <= 1.0) {
            let expected = "above 0, at most 1".into();
            return Err(IndexError::InvalidOption { option: "threshold", expected, got: threshold.to_string() });
        }
        let mut parents = list("groups", rows.slots())?;
        parents.extend(0..rows.slots() as u32);
        Ok(Self { threshold, parents, next: 0 })
    }

    /// Compares up to 64 rows with all later ones; returns which share of all pairs is compared, 1 at the end.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn step(&mut self, rows: &Rows) -> Result<f64> {
        let (next, threshold) = (self.next, self.threshold);
        let ends = self.parents.len() / GROUP;
        let compared = on!(&rows.table, table => {
            table.compare(next..ends, rows.codec().dimension(), threshold, |a, b| self.join(a, b))
        });
        self.next = compared?.map_or(ends, |group| group + 1);
        let left = (ends - self.next) as f64 / ends.max(1) as f64;
        Ok(1.0 - left * left)
    }

    /// The lowest slot of the group of a slot.
    fn root(&mut self, mut slot: u32) -> u32 {
        while self.parents[slot as usize] != slot {
            // paths are halved on the way
            self.parents[slot as usize] = self.parents[self.parents[slot as usize] as usize];
            slot = self.parents[slot as usize];
        }
        slot
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        self.parents[a.max(b) as usize] = a.min(b);
    }

    /// The groups that were found so far.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn groups(&mut self, rows: &Rows) -> Result<Groups> {
        let mut filled = rows.filled()?;
        filled.retain(|&slot| (slot as usize) < self.parents.len());
        // size of each group at its lowest slot, then where its next member goes
        let mut places = zeros::<u32>("groups", self.parents.len())?;
        for &slot in &filled {
            places[self.root(slot) as usize] += 1;
        }
        let mut ends = list("groups", filled.len() / 2)?;
        let mut end = 0;
        for place in &mut places {
            let size = *place;
            *place = if size > 1 { end } else { u32::MAX };
            if size > 1 {
                end += size;
                ends.push(end);
            }
        }
        let mut slots = zeros("groups", end as usize)?;
        for slot in filled {
            let place = &mut places[self.root(slot) as usize];
            if *place != u32::MAX {
                slots[*place as usize] = slot;
                *place += 1;
            }
        }
        Ok(Groups { slots, ends })
    }
}

impl<E: Element> Table<E> {
    /// Compares the rows of the first group among `groups` that has any with one another and with those of later groups, and passes on
    /// the pairs that reach the threshold. Returns the number of that first group.
    fn compare(
        &self,
        groups: core::ops::Range<usize>,
        dimension: usize,
        threshold: f32,
        mut found: impl FnMut(u32, u32),
    ) -> Result<Option<usize>> {
        let mut others = self.groups(groups.start).take_while(|(i, _)| *i < groups.end).peekable();
        let Some((first, group)) = others.peek() else { return Ok(None) };
        let (first, live) = (*first, group.live);
        let mut unit = zeros("a vector", dimension)?;
        let mut queries = list("queries", GROUP)?;
        for row in bits(live) {
            group.unit(row, &mut unit);
            queries.push((row, E::query(&unit)));
        }
        for (i, other) in others {
            for (row, query) in &queries {
                // each pair once
                let mask = if i == first { other.live & !(u64::MAX >> (GROUP - 1 - row)) } else { other.live };
                let scores = E::scores(query, other.values, other.scales, mask);
                for j in bits(mask).filter(|&j| scores[j] + ROUNDING >= threshold) {
                    found((first * GROUP + row) as u32, (i * GROUP + j) as u32);
                }
            }
        }
        Ok(Some(first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{STORAGES, clustered, cosine, put, rows_of, vectors};
    use crate::{Codec, Storage};

    /// Runs a search to its end.
    fn groups(rows: &Rows, threshold: f32) -> Vec<Vec<u32>> {
        let mut duplicates = Duplicates::new(rows, threshold).unwrap();
        let mut progress = 0.0;
        while progress < 1.0 {
            let before = progress;
            progress = duplicates.step(rows).unwrap();
            assert!(progress > before && progress <= 1.0);
        }
        split(&duplicates.groups(rows).unwrap())
    }

    fn split(Groups { slots, ends }: &Groups) -> Vec<Vec<u32>> {
        let begins = core::iter::once(0).chain(ends.iter().copied());
        begins.zip(ends).map(|(begin, &end)| slots[begin as usize..end as usize].to_vec()).collect()
    }

    /// What joining every pair of a list that is near gives.
    fn plain_groups(vectors: &[Vec<f32>], threshold: f64) -> Vec<Vec<u32>> {
        let mut groups: Vec<Vec<u32>> = Vec::new();
        for slot in 0..vectors.len() {
            let near = |other: &u32| cosine(&vectors[slot], &vectors[*other as usize]) >= threshold;
            let (joined, apart): (Vec<_>, Vec<_>) = groups.into_iter().partition(|group| group.iter().any(near));
            groups = apart;
            let mut group: Vec<u32> = joined.concat();
            group.push(slot as u32);
            group.sort_unstable();
            groups.push(group);
        }
        groups.retain(|group| group.len() > 1);
        groups.sort();
        groups
    }

    #[test]
    fn groups_are_those_of_all_pairs() {
        let vectors = clustered(600, 24, 150, 0.35, 20);
        let expected = plain_groups(&vectors, 0.9);
        assert!(expected.len() > 50 && expected.iter().any(|group| group.len() > 3), "{expected:?}");
        assert_eq!(groups(&rows_of(Storage::F32, &vectors), 0.9), expected);
        for storage in STORAGES {
            // clearly near and clearly far, so that rounding decides nothing
            let clear = clustered(500, 64, 100, 0.02, 21);
            let same = groups(&rows_of(storage, &clear), 0.95);
            assert_eq!(same, plain_groups(&clear, 0.95));
            assert_eq!(same.len(), 100);
        }
    }

    #[test]
    fn all_rows_may_be_one_group_and_none_a_group() {
        let one = vec![vec![1.0, 2.0]; 5000];
        assert_eq!(groups(&rows_of(Storage::Int8, &one), 0.999), [(0..5000).collect::<Vec<u32>>()]);
        for storage in STORAGES {
            assert!(groups(&rows_of(storage, &vectors(300, 100, 22)), 0.9).is_empty());
            // equal ones at the highest threshold
            let twice = [vectors(100, 300, 23), vectors(100, 300, 23)].concat();
            assert_eq!(
                groups(&rows_of(storage, &twice), 1.0),
                (0..100).map(|slot| [slot, slot + 100]).collect::<Vec<_>>()
            );
        }
        let empty = Rows::new(Codec::new(2, Storage::F16).unwrap());
        assert!(groups(&empty, 0.9).is_empty());
    }

    #[test]
    fn rows_may_come_and_go_meanwhile() {
        let mut rows = rows_of(Storage::F32, &vec![vec![1.0, 2.0]; 130]);
        let mut duplicates = Duplicates::new(&rows, 0.9).unwrap();
        assert!(duplicates.step(&rows).unwrap() < 1.0);
        rows.remove(&(3..130).collect::<Vec<_>>());
        put(&mut rows, &[1_000_000], &[vec![1.0, 2.0]]);
        while duplicates.step(&rows).unwrap() < 1.0 {}
        assert_eq!(split(&duplicates.groups(&rows).unwrap()), [[0, 1, 2]]);
        rows.remove(&[0, 1]);
        assert!(duplicates.groups(&rows).unwrap().slots.is_empty());
    }

    #[test]
    fn thresholds_are_checked() {
        let rows = rows_of(Storage::F32, &vectors(2, 3, 23));
        for threshold in [0.0, -1.0, 1.1, f32::NAN] {
            assert!(matches!(Duplicates::new(&rows, threshold), Err(IndexError::InvalidOption { .. })));
        }
        assert!(Duplicates::new(&rows, 1.0).is_ok());
    }
}
