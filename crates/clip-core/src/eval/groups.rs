//! Rows of a data set that are one and the same.

use std::collections::HashMap;
use std::hash::Hash;

/// Items, equal ones as one: the distinct ones are numbered as they first come.
pub(super) struct Groups {
    /// The number of each item.
    pub(super) numbers: Vec<usize>,
    /// The first item of each number.
    pub(super) first: Vec<usize>,
}

impl Groups {
    /// Of items by what they are told apart by.
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

    /// Distinct items among the first `count`.
    pub(super) fn distinct(&self, count: usize) -> usize {
        self.first.partition_point(|&item| item < count)
    }

    /// How many of the first `count` have an equal one among them.
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
    fn equal_items_are_one_and_the_first_of_each_stands_for_it() {
        let groups = Groups::new("abacabd".chars());
        assert_eq!(groups.numbers, [0, 1, 0, 2, 0, 1, 3]);
        assert_eq!(groups.first, [0, 1, 3, 6]);
        assert_eq!([0, 2, 3, 7].map(|count| groups.distinct(count)), [0, 2, 2, 4]);
        assert_eq!([0, 2, 3, 7].map(|count| groups.shared(count)), [0, 0, 2, 5]);
    }
}
