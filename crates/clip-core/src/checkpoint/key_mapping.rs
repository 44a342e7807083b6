//! Where a parameter of ours is in a checkpoint.

/// Where a parameter of ours lives in a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyMapping {
    /// One key, or several whose rows follow one another, with the share of the rows that each has.
    pub(crate) keys: Vec<(String, usize)>,
    /// Whether the checkpoint holds the transpose of ours.
    pub(crate) transposed: bool,
    /// How many sides of 1 the checkpoint puts before ours; -1 for a scalar where we have `[1]`.
    pub(crate) leading_ones: i8,
}

impl KeyMapping {
    /// Reads a name of the tables.
    pub(super) fn parse(name: &str) -> Self {
        let leading_ones = name.chars().take_while(|&c| c == '·').count();
        let name = name.trim_start_matches('·');
        let transposed = name.ends_with('ᵀ');
        let name = name.trim_end_matches('ᵀ');
        let keys = match name.split_once('{').and_then(|(a, rest)| rest.split_once('}').map(|(list, b)| (a, list, b))) {
            // `kv` has the rows of two
            Some((before, list, after)) => {
                list.split(',').map(|part| (format!("{before}{part}{after}"), part.len())).collect()
            }
            None => vec![(name.to_owned(), 1)],
        };
        Self { keys, transposed, leading_ones: leading_ones as i8 }
    }

    pub(super) fn prefixed(mut self, prefix: &str) -> Self {
        for (key, _) in &mut self.keys {
            key.insert_str(0, prefix);
        }
        self
    }

    /// The checkpoint's shape of key `index`, for a parameter of ours of `shape`.
    pub(crate) fn expected_shape(&self, index: usize, shape: &[usize]) -> Vec<usize> {
        let mut expected = shape.to_vec();
        if self.transposed {
            expected.reverse();
        }
        let parts: usize = self.keys.iter().map(|(_, share)| share).sum();
        expected[0] = expected[0] / parts * self.keys[index].1;
        match usize::try_from(self.leading_ones) {
            Ok(sides) => expected.splice(0..0, vec![1; sides]).for_each(drop),
            Err(_scalar) => expected.clear(),
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_the_tables_is_read() {
        let mapping = KeyMapping::parse("a.{q,kv}.weightᵀ");
        assert_eq!(mapping.keys, [("a.q.weight".into(), 1), ("a.kv.weight".into(), 2)]);
        assert_eq!(
            (mapping.expected_shape(0, &[4, 12]), mapping.expected_shape(1, &[4, 12])),
            (vec![4, 4], vec![8, 4])
        );
        assert_eq!(KeyMapping::parse("··latent").expected_shape(0, &[5]), [1, 1, 5]);
    }
}
