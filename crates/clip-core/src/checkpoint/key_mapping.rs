//! Maps one of our parameters to the tensors of a checkpoint.

/// Keys of a parameter in a checkpoint, and how its shape differs there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyMapping {
    /// Keys whose rows are concatenated, with each key's share of the rows.
    pub(crate) keys: Vec<(String, usize)>,
    /// Whether the checkpoint stores the transpose.
    pub(crate) transposed: bool,
    /// Number of leading dimensions of 1 in the checkpoint; -1 if it stores a scalar for our `[1]`.
    pub(crate) leading_ones: i8,
}

impl KeyMapping {
    /// Parses a name of the tables in `layout.rs`.
    pub(super) fn parse(name: &str) -> Self {
        let leading_ones = name.chars().take_while(|&c| c == '·').count();
        let name = name.trim_start_matches('·');
        let transposed = name.ends_with('ᵀ');
        let name = name.trim_end_matches('ᵀ');
        let keys = match name.split_once('{').and_then(|(a, rest)| rest.split_once('}').map(|(list, b)| (a, list, b))) {
            // `kv` has twice the rows of `q`
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

    /// Shape of the tensor at key `index`, for a parameter of `shape`.
    pub(crate) fn expected_shape(&self, index: usize, shape: &[usize]) -> Vec<usize> {
        let mut expected = shape.to_vec();
        if self.transposed {
            expected.reverse();
        }
        let parts: usize = self.keys.iter().map(|(_, share)| share).sum();
        expected[0] = expected[0] / parts * self.keys[index].1;
        match usize::try_from(self.leading_ones) {
            Ok(count) => expected.splice(0..0, vec![1; count]).for_each(drop),
            Err(_scalar) => expected.clear(),
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_tables_are_parsed() {
        let mapping = KeyMapping::parse("a.{q,kv}.weightᵀ");
        assert_eq!(mapping.keys, [("a.q.weight".into(), 1), ("a.kv.weight".into(), 2)]);
        assert_eq!(
            (mapping.expected_shape(0, &[4, 12]), mapping.expected_shape(1, &[4, 12])),
            (vec![4, 4], vec![8, 4])
        );
        assert_eq!(KeyMapping::parse("··latent").expected_shape(0, &[5]), [1, 1, 5]);
    }
}
