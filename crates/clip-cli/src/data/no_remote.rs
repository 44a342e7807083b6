//! Stands in the place of `remote/` where the program is built without the cargo feature `remote`: there are no addresses.

use std::fmt;
use std::sync::Arc;

use super::read_file::{Opened, Patience};
use crate::exit::{Failure, Result};
use crate::output::Output;

/// The address of a file: none can be made.
#[derive(Debug, Clone)]
pub enum Address {}

impl fmt::Display for Address {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let message = format!("{text}: this program reads no addresses: build it with --features remote");
        Err(Failure::new("invalid-source", message))
    }

    pub(super) fn path(&self) -> String {
        match *self {}
    }

    pub(super) fn beside(&self, _name: &str, _is_absolute: bool) -> Result<Self> {
        match *self {}
    }

    pub(super) fn exists(&self) -> bool {
        match *self {}
    }

    pub(super) fn check(&self) -> Result<()> {
        match *self {}
    }

    pub(super) fn open(&self) -> Result<Opened> {
        match *self {}
    }

    pub(super) fn read_whole(&self, _limit: u64, _patience: Patience) -> Result<Vec<u8>> {
        match *self {}
    }

    pub(super) fn read_part(&self, _from: u64, _length: usize) -> Result<Vec<u8>> {
        match *self {}
    }
}

/// Nothing is tried again.
pub fn report_retries(_output: &Arc<Output>) {}
