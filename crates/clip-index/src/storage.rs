//! The forms in which vectors are stored, and the conversion to and from them.

use crate::element::{Element, F16};
use crate::error::{IndexError, Result, list, zeros};
use crate::rows::Rows;

/// Largest dimension: sums of 8-bit products fit into 32 bits with an 8-bit query.
const MAX_DIMENSION: usize = 1 << 16;
/// Rows of a block that is made for one call.
const FEW_ROWS: usize = 64;

/// How the values of a vector are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// 4 bytes a value.
    F32,
    /// IEEE half precision, 2 bytes a value.
    F16,
    /// 8-bit integers: the largest magnitude of a vector is 127. The scale that makes it a unit vector again is not stored, for it
    /// follows from the integers.
    Int8,
}

impl Storage {
    /// Finds a storage type by its name in TypeScript.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "f32" => Ok(Self::F32),
            "f16" => Ok(Self::F16),
            "int8" => Ok(Self::Int8),
            _ => Err(IndexError::InvalidOption {
                option: "storage",
                expected: "f32, f16 or int8".into(),
                got: format!("{name:?}"),
            }),
        }
    }
}

/// Converts vectors of one dimension to their storage form, little-endian bytes without a header, and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codec {
    dimension: usize,
    storage: Storage,
}

/// Runs an expression with `$E` as the element of a storage type.
macro_rules! for_element {
    ($storage:expr, $E:ident => $body:expr) => {
        match $storage {
            Storage::F32 => {
                type $E = f32;
                $body
            }
            Storage::F16 => {
                type $E = F16;
                $body
            }
            Storage::Int8 => {
                type $E = i8;
                $body
            }
        }
    };
}

impl Codec {
    /// For vectors of 1 to 65,536 values.
    pub fn new(dimension: usize, storage: Storage) -> Result<Self> {
        if (1..=MAX_DIMENSION).contains(&dimension) {
            return Ok(Self { dimension, storage });
        }
        let expected = format!("1 to {MAX_DIMENSION}");
        Err(IndexError::InvalidOption { option: "dimension", expected, got: dimension.to_string() })
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// How they are stored.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Bytes of a vector in storage form.
    pub fn row_bytes(&self) -> usize {
        self.dimension * for_element!(self.storage, E => size_of::<E>())
    }

    /// Normalizes a vector of any length but zero in place, and converts it. `row` is its number in errors.
    pub fn encode(&self, row: usize, vector: &mut [f32], bytes: &mut [u8]) -> Result<()> {
        normalize(vector).map_err(|reason| IndexError::InvalidVector { row, reason })?;
        for_element!(self.storage, E => E::encode(vector, bytes));
        Ok(())
    }

    /// Converts a row in storage form to a unit vector. `row` is its number in errors.
    pub fn decode(&self, row: usize, bytes: &[u8], vector: &mut [f32]) -> Result<()> {
        for_element!(self.storage, E => {
            let mut steps = zeros("a row", E::steps(self.dimension))?;
            let scale = E::read(bytes, &mut steps).map_err(|reason| IndexError::DamagedRow { row, reason })?;
            for (value, element) in vector.iter_mut().zip(steps.as_flattened()) {
                *value = element.value() * scale;
            }
        });
        Ok(())
    }

    /// Cosine similarities of a query to rows in storage form, one after another.
    pub fn scores(self, query: &[f32], rows: &[u8]) -> Result<Vec<f32>> {
        let width = self.row_bytes();
        let mut slots = list("slots", rows.len() / width)?;
        slots.extend(0..(rows.len() / width) as u32);
        let mut table = Rows::in_blocks_of(self, FEW_ROWS);
        table.put(&slots, |row, bytes| bytes.copy_from_slice(&rows[row * width..][..width]))?;
        table.scores(query, &slots)
    }
}

/// Scales a vector to length 1, however long or short it is; or says why it has no direction.
pub(crate) fn normalize(vector: &mut [f32]) -> core::result::Result<(), &'static str> {
    let mut largest = 0f32;
    for x in vector.iter() {
        if !x.is_finite() {
            return Err("it has a value that is NaN or infinite");
        }
        largest = largest.max(x.abs());
    }
    if largest == 0.0 {
        return Err("all of its values are 0");
    }
    // first to at most 1: squares neither overflow nor vanish
    for x in vector.iter_mut() {
        *x /= largest;
    }
    let inverse = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt().recip() as f32;
    for x in vector.iter_mut() {
        *x *= inverse;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{STORAGES, cosine, decoded, encoded, put, rows_of, vectors};

    #[test]
    fn vectors_of_any_length_are_normalized() {
        for factor in [1e-44f32, 1e-38, 1e-20, 1.0, 1e20, 8e37] {
            let mut vector = [3.0 * factor, -4.0 * factor, 0.0];
            let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let expected = vector.map(|x| (f64::from(x) / length) as f32);
            normalize(&mut vector).unwrap();
            for (x, expected) in vector.iter().zip(expected) {
                assert!((x - expected).abs() < 1e-6, "{factor}: {vector:?}");
            }
        }
        let mut one = [f32::from_bits(1)];
        normalize(&mut one).unwrap();
        assert_eq!(one, [1.0]);
    }

    #[test]
    fn vectors_without_a_direction_are_refused_by_their_number() {
        for storage in STORAGES {
            let codec = Codec::new(20, storage).unwrap();
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut vector = [1.0; 20];
                vector[19] = bad;
                let error = codec.encode(7, &mut vector, &mut vec![0; codec.row_bytes()]).unwrap_err();
                assert!(matches!(error, IndexError::InvalidVector { row: 7, .. }), "{error}");
                assert!(error.to_string().contains("NaN or infinite"));
            }
            let error = codec.encode(0, &mut [-0.0; 20], &mut vec![0; codec.row_bytes()]).unwrap_err();
            assert!(error.to_string().contains("are 0"), "{error}");
        }
    }

    #[test]
    fn dimensions_and_names_are_checked() {
        for dimension in [0, 65_537, usize::MAX] {
            assert_eq!(Codec::new(dimension, Storage::F32).unwrap_err().code(), "invalid-option");
        }
        assert!(Codec::new(65_536, Storage::Int8).is_ok());
        assert_eq!(Storage::named("int8"), Ok(Storage::Int8));
        assert!(Storage::named("i8").unwrap_err().to_string().contains("f32, f16 or int8"));
    }

    #[test]
    fn the_largest_dimension_neither_overflows_nor_loses_the_query() {
        for storage in STORAGES {
            let ones = vec![vec![1.0; 65_536], vec![-1.0; 65_536]];
            let scores = rows_of(storage, &ones).scores(&ones[0], &[0, 1]).unwrap();
            assert!((scores[0] - 1.0).abs() < 1e-4 && (scores[1] + 1.0).abs() < 1e-4, "{storage:?}: {scores:?}");
        }
    }

    #[test]
    fn rows_come_back_byte_by_byte() {
        for storage in STORAGES {
            for dimension in [1, 16, 33] {
                let vectors = vectors(70, dimension, 11);
                let rows = rows_of(storage, &vectors);
                let codec = *rows.codec();
                for (slot, expected) in (0..).zip(encoded(&codec, &vectors).chunks_exact(codec.row_bytes())) {
                    let mut bytes = vec![0; codec.row_bytes()];
                    rows.get(slot, &mut bytes).unwrap();
                    assert_eq!(bytes, expected);
                }
                assert_eq!(rows.get(70, &mut vec![0; codec.row_bytes()]), Err(IndexError::EmptySlot { slot: 70 }));
            }
        }
    }

    #[test]
    fn decoded_rows_are_unit_vectors_near_the_encoded_ones() {
        for (storage, least) in STORAGES.into_iter().zip([0.999_999_9, 0.999_999_8, 0.999_8]) {
            for dimension in [1, 10, 512] {
                let codec = Codec::new(dimension, storage).unwrap();
                for vector in vectors(20, dimension, 12) {
                    let unit = decoded(&codec, &vector);
                    assert!(cosine(&unit, &vector) > least, "{storage:?} {dimension}: {}", cosine(&unit, &vector));
                    assert!((unit.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn bytes_that_were_not_encoded_here_are_refused() {
        for storage in STORAGES {
            let codec = Codec::new(24, storage).unwrap();
            let vectors = vectors(3, 24, 13);
            let good = encoded(&codec, &vectors);
            let width = codec.row_bytes();
            for damage in [|_: u8| 0, |_: u8| 0xff, |x: u8| x ^ 0x40] {
                let mut bytes = good.clone();
                bytes[width..2 * width].iter_mut().for_each(|x| *x = damage(*x));
                let mut rows = Rows::new(codec);
                put(&mut rows, &[0, 1, 2, 3], &[&vectors[2..], &vectors[..]].concat());
                let error =
                    rows.put(&[0, 1, 2], |row, to| to.copy_from_slice(&bytes[row * width..][..width])).unwrap_err();
                assert!(matches!(error, IndexError::DamagedRow { row: 1, .. }), "{error}");
                // the row before is there, its own slot is empty, the others are as they were
                assert_eq!(rows.len(), 3);
                let is = |slot, vector: &[f32]| rows.scores(vector, &[slot]).map(|scores| scores[0] > 0.999);
                assert_eq!(is(0, &vectors[0]), Ok(true));
                assert_eq!(is(1, &vectors[1]), Err(IndexError::EmptySlot { slot: 1 }));
                assert_eq!(is(2, &vectors[1]), Ok(true));
                assert_eq!(codec.scores(&vectors[0], &bytes), Err(error));
            }
        }
    }
}
