//! Rows of any storage type.

use crate::element::{F16, GROUP, bits};
use crate::error::{IndexError, Result, list, zeros};
use crate::search::Hits;
use crate::storage::{Codec, Storage, normalize};
use crate::table::Table;

/// Unit vectors of one dimension, each in a slot that the caller chose. Memory is allocated in blocks of about 1 MiB for neighbouring slots:
/// those of removed rows should be filled again before others.
pub struct Rows {
    codec: Codec,
    pub(crate) table: AnyTable,
}

/// A table of any type.
pub(crate) enum AnyTable {
    F32(Table<f32>),
    F16(Table<F16>),
    Int8(Table<i8>),
}

/// Runs an expression on the table, whatever its type.
macro_rules! on {
    ($any:expr, $table:ident => $body:expr) => {
        match $any {
            $crate::rows::AnyTable::F32($table) => $body,
            $crate::rows::AnyTable::F16($table) => $body,
            $crate::rows::AnyTable::Int8($table) => $body,
        }
    };
}
pub(crate) use on;

impl Rows {
    /// Without rows.
    pub fn new(codec: Codec) -> Self {
        Self::in_blocks(codec, None)
    }

    /// Without rows, in blocks of so many, a multiple of 64.
    pub(crate) fn in_blocks_of(codec: Codec, rows: usize) -> Self {
        Self::in_blocks(codec, Some(rows))
    }

    fn in_blocks(codec: Codec, rows: Option<usize>) -> Self {
        let dimension = codec.dimension();
        let table = match codec.storage() {
            Storage::F32 => AnyTable::F32(Table::new(dimension, rows)),
            Storage::F16 => AnyTable::F16(Table::new(dimension, rows)),
            Storage::Int8 => AnyTable::Int8(Table::new(dimension, rows)),
        };
        Self { codec, table }
    }

    /// Dimension and storage type.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        on!(&self.table, table => table.len())
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slots with a row are lower.
    pub(crate) fn slots(&self) -> usize {
        on!(&self.table, table => table.slots())
    }

    /// The slots with a row, ascending.
    ///
    /// # Errors
    /// `OutOfMemory`
    pub fn filled(&self) -> Result<Vec<u32>> {
        let mut slots = list("slots", self.len())?;
        on!(&self.table, table => for (i, group) in table.groups(0) {
            slots.extend(bits(group.live).map(|bit| (i * GROUP + bit) as u32));
        });
        Ok(slots)
    }

    /// Bytes that were allocated for rows.
    pub fn bytes(&self) -> usize {
        on!(&self.table, table => table.bytes())
    }

    /// Fills slots, whatever is in them, with rows in storage form: `read` is given the number of a row, and writes its bytes.
    ///
    /// # Errors
    /// `OutOfMemory`, before a row is read. `DamagedRow` for bytes that [`Codec::encode`] did not write: rows before it are there, its
    /// own slot is empty, and those after it are as they were.
    pub fn put(&mut self, slots: &[u32], read: impl FnMut(usize, &mut [u8])) -> Result<()> {
        let mut bytes = zeros("a row", self.codec.row_bytes())?;
        on!(&mut self.table, table => table.put(slots, &mut bytes, read))
    }

    /// Empties slots, and returns how many of them held a row.
    pub fn remove(&mut self, slots: &[u32]) -> usize {
        on!(&mut self.table, table => table.remove(slots))
    }

    /// Writes the bytes of a row.
    ///
    /// # Errors
    /// `EmptySlot`
    pub fn get(&self, slot: u32, bytes: &mut [u8]) -> Result<()> {
        on!(&self.table, table => table.get(slot, bytes))
    }

    /// The `k` rows nearest to each of some queries, one query after another, or all rows if there are fewer. With `allowed`, only
    /// among slots whose bit is set in it: bit `slot % 8` of byte `slot / 8`. Bytes that it lacks allow none.
    ///
    /// # Errors
    /// `ShapeMismatch` and `InvalidVector` for queries, `OutOfMemory`
    pub fn search(&self, queries: &[f32], k: usize, allowed: Option<&[u8]>) -> Result<Hits> {
        let queries = self.unit_vectors("queries", queries)?;
        on!(&self.table, table => table.search(queries.chunks_exact(self.codec.dimension()), k, allowed))
    }

    /// Cosine similarities of a query to the rows in these slots.
    ///
    /// # Errors
    /// `EmptySlot`; `ShapeMismatch` and `InvalidVector` for the query, `OutOfMemory`
    pub fn scores(&self, query: &[f32], slots: &[u32]) -> Result<Vec<f32>> {
        if query.len() != self.codec.dimension() {
            let expected = self.codec.dimension().to_string();
            return Err(IndexError::ShapeMismatch { what: "query", expected, got: query.len() });
        }
        let query = self.unit_vectors("query", query)?;
        on!(&self.table, table => table.scores(&query, slots))
    }

    /// Normalizes vectors.
    fn unit_vectors(&self, what: &'static str, vectors: &[f32]) -> Result<Vec<f32>> {
        let dimension = self.codec.dimension();
        if !vectors.len().is_multiple_of(dimension) || vectors.is_empty() {
            let expected = format!("a multiple of {dimension}");
            return Err(IndexError::ShapeMismatch { what, expected, got: vectors.len() });
        }
        let mut unit = list(what, vectors.len())?;
        unit.extend_from_slice(vectors);
        for (row, vector) in unit.chunks_exact_mut(dimension).enumerate() {
            normalize(vector).map_err(|reason| IndexError::InvalidVector { row, reason })?;
        }
        Ok(unit)
    }
}
