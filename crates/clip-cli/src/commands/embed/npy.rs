//! NumPy's array files: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

/// A file of single-precision rows of `dim` values.
pub(super) fn npy(values: &[f32], dim: usize) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let rows = values.len().checked_div(dim).unwrap_or(0);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}");
    // magic, length, header and line break fill blocks of 64 bytes
    let used = MAGIC.len() + 2 + header.len() + 1;
    header.push_str(&" ".repeat(used.next_multiple_of(64) - used));
    header.push('\n');
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 + header.len() + 4 * values.len());
    bytes.extend(MAGIC);
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_as_numpy_writes_it() {
        let file = npy(&[1.0, 2.0, 3.0, 4.0], 2);
        // as numpy.save of version 2.4: 128 bytes, then the values
        assert_eq!(file.len(), 128 + 16);
        assert_eq!(&file[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(file[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }   "));
        assert_eq!((file[127], &file[128..132]), (b'\n', &1f32.to_le_bytes()[..]));
        assert_eq!(npy(&[], 3).len(), 128);
    }
}
