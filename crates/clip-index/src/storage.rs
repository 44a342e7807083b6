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
