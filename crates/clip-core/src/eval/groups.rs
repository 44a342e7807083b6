//! Groups of equal rows of a data set.

use std::collections::HashMap;
use std::hash::Hash;

/// Groups of equal items, numbered in the order of their first items.
pub(super) struct Groups {
    /// Group of each item.
    pub(super) numbers: Vec<usize>,
    /// First item of each group.
    pub(super) first: Vec<usize>,
}

impl Groups {
    /// Groups items by their keys.
    pub(super) fn new<K: Hash + Eq>(keys: impl Iterator<Item = K>) -> Self {
        let (mut known, mut first) = (HashMap::new(), Vec::new());
        let number = |(item, key)| {
            *known.entry(key).or_insert_with(|| {
                first.push(item);
                first.len() - 1
            })
        };
        let numbers = keys.enumerate().map(number).collect();
        Self { numbers, first }
    }

    /// Returns the number of groups among the first `count` items.
    pub(super) fn distinct(&self, count: usize) -> usize {
        self.first.partition_point(|&item| item < count)
    }

    /// Returns how many of the first `count` items have an equal item among them.
    pub(super) fn shared(&self, count: usize) -> usize {
        let mut items = vec![0usize; self.first.len()];
        self.numbers[..count].iter().for_each(|&number| items[number] += 1);
        items.into_iter().filter(|&items| items > 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_items_form_a_group() {
        let groups = Groups::new("abacabd".chars());
        assert_eq!(groups.numbers, [0, 1, 0, 2, 0, 1, 3]);
        assert_eq!(groups.first, [0, 1, 3, 6]);
        assert_eq!([0, 2, 3, 7].map(|count| groups.distinct(count)), [0, 2, 2, 4]);
        assert_eq!([0, 2, 3, 7].map(|count| groups.shared(count)), [0, 0, 2, 5]);
    }
}
