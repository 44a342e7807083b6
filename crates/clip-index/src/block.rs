//! Rows in memory that is allocated as a whole, so that memory grows without a copy.

use crate::element::{Element, GROUP, STEP};
use crate::error::{Result, zeros};

/// Bytes of a block, about.
const BLOCK_BYTES: usize = 1 << 20;

/// A multiple of [`GROUP`] rows, or none before the first one is filled.
pub(crate) struct Block<E> {
    /// `[rows, steps]`
    values: Vec<[E; STEP]>,
    /// What makes each row a unit vector.
    scales: Vec<f32>,
    /// A bit for each row that is filled, a word for each group.
    live: Vec<u64>,
}

/// Rows of a group.
pub(crate) struct Group<'a, E> {
    /// `[GROUP, steps]`
    pub(crate) values: &'a [[E; STEP]],
    pub(crate) scales: &'a [f32; GROUP],
    /// A bit for each row that is filled.
    pub(crate) live: u64,
}

impl<E: Element> Group<'_, E> {
    /// Writes the unit vector of a row.
    pub(crate) fn unit(&self, row: usize, unit: &mut [f32]) {
        let steps = self.values.len() / GROUP;
        let values = self.values[row * steps..][..steps].as_flattened();
        for (x, value) in unit.iter_mut().zip(values) {
            *x = value.value() * self.scales[row];
        }
    }
}

impl<E: Element> Block<E> {
    /// Rows of a block.
    pub(crate) fn rows(steps: usize) -> usize {
        (BLOCK_BYTES / (steps * size_of::<[E; STEP]>()) / GROUP * GROUP).max(GROUP)
    }

    /// A block that takes no memory yet.
    pub(crate) fn unallocated() -> Self {
        Self { values: Vec::new(), scales: Vec::new(), live: Vec::new() }
    }

    pub(crate) fn is_allocated(&self) -> bool {
        !self.live.is_empty()
    }

    /// Whether no row is filled.
    pub(crate) fn is_empty(&self) -> bool {
        self.live.iter().all(|&word| word == 0)
    }

    pub(crate) fn allocate(rows: usize, steps: usize) -> Result<Self> {
        Ok(Self {
            values: zeros("vectors", rows * steps)?,
            scales: zeros("vectors", rows)?,
            live: zeros("vectors", rows / GROUP)?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&self.values[..]) + size_of_val(&self.scales[..]) + size_of_val(&self.live[..])
    }

    pub(crate) fn is_live(&self, row: usize) -> bool {
        self.live.get(row / GROUP).is_some_and(|word| word >> (row % GROUP) & 1 == 1)
    }

    /// Sets whether a row is filled; returns whether that changed.
    pub(crate) fn set_live(&mut self, row: usize, live: bool) -> bool {
        let changes = self.is_live(row) != live;
        if changes {
            self.live[row / GROUP] ^= 1 << (row % GROUP);
        }
        changes
    }

    pub(crate) fn row(&self, row: usize, steps: usize) -> &[[E; STEP]] {
        &self.values[row * steps..][..steps]
    }

    pub(crate) fn row_mut(&mut self, row: usize, steps: usize) -> (&mut [[E; STEP]], &mut f32) {
        (&mut self.values[row * steps..][..steps], &mut self.scales[row])
    }

    pub(crate) fn groups(&self, steps: usize) -> impl Iterator<Item = Group<'_, E>> {
        let scales = self.scales.as_chunks().0;
        let parts = self.values.chunks_exact(GROUP * steps).zip(scales).zip(&self.live);
        parts.map(|((values, scales), &live)| Group { values, scales, live })
    }

    pub(crate) fn group(&self, i: usize, steps: usize) -> Group<'_, E> {
        Group {
            values: &self.values[i * GROUP * steps..][..GROUP * steps],
            scales: &self.scales.as_chunks().0[i],
            live: self.live[i],
        }
    }
}
