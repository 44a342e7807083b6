//! Rows of one type of element, in blocks.

use crate::block::{Block, Group};
use crate::element::{Element, GROUP};
use crate::error::{IndexError, Result};

/// Rows of one type, each in a slot.
pub(crate) struct Table<E> {
    /// Steps of a row.
    pub(crate) steps: usize,
    rows_per_block: usize,
    /// Slots `rows_per_block * i` and following are in block `i`.
    pub(crate) blocks: Vec<Block<E>>,
    len: usize,
}

impl<E: Element> Table<E> {
    pub(crate) fn new(dimension: usize, rows_per_block: Option<usize>) -> Self {
        let steps = E::steps(dimension);
        let rows_per_block = rows_per_block.unwrap_or_else(|| Block::<E>::rows(steps));
        Self { steps, rows_per_block, blocks: Vec::new(), len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Slots of all blocks.
    pub(crate) fn slots(&self) -> usize {
        self.blocks.len() * self.rows_per_block
    }

    pub(crate) fn bytes(&self) -> usize {
        self.blocks.iter().map(Block::bytes).sum()
    }

    /// The block of a slot, and the row in it.
    pub(crate) fn place(&self, slot: u32) -> (usize, usize) {
        (slot as usize / self.rows_per_block, slot as usize % self.rows_per_block)
    }

    /// The groups with rows from group `first` on, by their number: slots `GROUP * i` and following are in group `i`.
    pub(crate) fn groups(&self, first: usize) -> impl Iterator<Item = (usize, Group<'_, E>)> {
        let per_block = self.rows_per_block / GROUP;
        let blocks = self.blocks.iter().enumerate().skip(first / per_block);
        blocks
            .flat_map(move |(i, block)| (i * per_block..).zip(block.groups(self.steps)))
            .filter(move |(i, group)| *i >= first && group.live != 0)
    }

    /// Allocates the blocks of these slots: all, or none.
    fn allocate(&mut self, slots: &[u32]) -> Result<()> {
        let wanted = slots.iter().max().map_or(0, |&slot| self.place(slot).0 + 1);
        let more = wanted.saturating_sub(self.blocks.len());
        if self.blocks.try_reserve(more).is_err() {
            return Err(IndexError::OutOfMemory { what: "vectors", bytes: more * size_of::<Block<E>>() });
        }
        self.blocks.resize_with(self.blocks.len() + more, Block::unallocated);
        for &slot in slots {
            let (block, _) = self.place(slot);
            if !self.blocks[block].is_allocated() {
                match Block::allocate(self.rows_per_block, self.steps) {
                    Ok(new) => self.blocks[block] = new,
                    Err(error) => {
                        self.free_blocks();
                        return Err(error);
                    }
                }
            }
        }
        Ok(())
    }

    /// Frees the blocks without a row.
    fn free_blocks(&mut self) {
        for block in &mut self.blocks {
            if block.is_empty() {
                *block = Block::unallocated();
            }
        }
        while self.blocks.pop_if(|block| !block.is_allocated()).is_some() {}
    }

    /// Fills slots with rows whose bytes `read` writes into `bytes`.
    pub(crate) fn put(
        &mut self,
        slots: &[u32],
        bytes: &mut [u8],
        mut read: impl FnMut(usize, &mut [u8]),
    ) -> Result<()> {
        self.allocate(slots)?;
        for (i, &slot) in slots.iter().enumerate() {
            read(i, bytes);
            let (block, row) = self.place(slot);
            let block = &mut self.blocks[block];
            let (values, scale) = block.row_mut(row, self.steps);
            match E::read(bytes, values) {
                Ok(new_scale) => {
                    *scale = new_scale;
                    self.len += usize::from(block.set_live(row, true));
                }
                Err(reason) => {
                    self.len -= usize::from(block.set_live(row, false));
                    self.free_blocks();
                    return Err(IndexError::DamagedRow { row: i, reason });
                }
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, slots: &[u32]) -> usize {
        let before = self.len;
        for &slot in slots {
            let (block, row) = self.place(slot);
            if let Some(block) = self.blocks.get_mut(block) {
                self.len -= usize::from(block.set_live(row, false));
            }
        }
        self.free_blocks();
        before - self.len
    }

    /// The block of a filled slot, and the row in it.
    pub(crate) fn filled(&self, slot: u32) -> Result<(&Block<E>, usize)> {
        let (block, row) = self.place(slot);
        match self.blocks.get(block) {
            Some(block) if block.is_live(row) => Ok((block, row)),
            _ => Err(IndexError::EmptySlot { slot }),
        }
    }

    pub(crate) fn get(&self, slot: u32, bytes: &mut [u8]) -> Result<()> {
        let (block, row) = self.filled(slot)?;
        E::write(block.row(row, self.steps), bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{STORAGES, put, rows_of, vectors};

    #[test]
    fn memory_follows_the_rows() {
        for storage in STORAGES {
            let vectors = vectors(2, 512, 14);
            let mut rows = rows_of(storage, &vectors[..1]);
            let block = rows.bytes();
            assert!((1 << 20..(1 << 20) + (1 << 14)).contains(&block), "{block}");
            // a slot far away, with none filled between, takes one block
            put(&mut rows, &[3_000_000], &vectors[1..]);
            assert_eq!(rows.bytes(), 2 * block);
            assert_eq!(rows.search(&vectors[1], 1, None).unwrap().slots, [3_000_000]);
            assert_eq!(rows.remove(&[0]), 1);
            assert_eq!(rows.bytes(), block);
            assert_eq!(rows.search(&vectors[1], 2, None).unwrap().slots, [3_000_000]);
            assert_eq!(rows.remove(&[3_000_000]), 1);
            assert_eq!(rows.bytes(), 0);
        }
    }
}
