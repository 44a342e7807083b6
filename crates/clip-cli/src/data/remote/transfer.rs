//! Reads files on servers as streams that go on where a connection broke.

use std::io::{self, Read};
use std::thread::sleep;
use std::time::Duration;

use super::address::Address;
use super::answer::{Answer, Fault};
use super::report::report;
use crate::data::gzip::{Gzip, MAGIC};
use crate::data::read_file::{Patience, failure_in};
use crate::exit::{Failure, Result};

/// The first pause before another try; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);

fn tries(patience: Patience) -> u32 {
    match patience {
        Patience::Little => 3,
        Patience::Much => 8,
    }
}

/// A file that is read from a server.
pub(super) struct Transfer {
    address: Address,
    patience: Patience,
    /// The rest of the open answer.
    body: Option<Box<dyn Read + Send>>,
    /// The next byte.
    at: u64,
    /// The last byte, where only a part is read.
    last: Option<u64>,
    /// Tries since the last byte that came.
    tries: u32,
    in_parts: bool,
    is_packed: bool,
}

impl Transfer {
    /// Opens a file from one byte on, up to and with the last, if one is given.
    ///
    /// # Errors
    /// `source-unreadable`.
    pub(super) fn new(address: &Address, from: u64, last: Option<u64>, patience: Patience) -> Result<Self> {
        let mut transfer = Self {
            address: address.clone(),
            patience,
            body: None,
            at: from,
            last,
            tries: 0,
            in_parts: false,
            is_packed: false,
        };
        while let Err(fault) = transfer.ask() {
            transfer.pause(fault)?;
        }
        Ok(transfer)
    }

    /// Whether parts of the file can be read.
    pub(super) fn in_parts(&self) -> bool {
        self.in_parts
    }

    fn ask(&mut self) -> core::result::Result<(), Fault> {
        let Answer { start, in_parts, is_packed, mut body, .. } = self.address.ask(self.at, self.last)?;
        if start > self.at || (self.last.is_some() && self.at > 0 && !in_parts) {
            return Err(Fault::lasting("the server sends other bytes than those asked for"));
        }
        // a server that knows no parts begins anew
        let skipped = io::copy(&mut body.by_ref().take(self.at - start), &mut io::sink());
        if skipped.map_err(|error| broken(&error))? < self.at - start {
            return Err(Fault::passing("the transfer ended early"));
        }
        (self.body, self.in_parts, self.is_packed) = (Some(body), in_parts, is_packed);
        Ok(())
    }

    /// Waits before another try.
    fn pause(&mut self, mut fault: Fault) -> Result<()> {
        self.body = None;
        self.tries += 1;
        if self.at > 0 && self.last.is_none() {
            fault.message = format!("the transfer broke off at byte {}: {}", self.at, fault.message);
        }
        let failure = self.address.failure(&fault);
        if !fault.passes || self.tries >= tries(self.patience) {
            return Err(failure);
        }
        let pause = fault.pause((PAUSE * 2u32.pow(self.tries - 1)).min(LONGEST));
        report(&format!("{}; it is tried again in {:.1} s", failure.message, pause.as_secs_f64()));
        sleep(pause);
        Ok(())
    }

    /// Whether all bytes are there that were asked for.
    fn is_whole(&self) -> bool {
        match self.last {
            Some(last) if self.in_parts => self.at > last,
            // without a size, the end of the connection is that of the file
            _ => self.address.size().is_none_or(|size| self.at >= size),
        }
    }
}

/// The fault of a body that broke off.
fn broken(error: &io::Error) -> Fault {
    let of_store = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>());
    of_store.cloned().unwrap_or_else(|| Fault::passing(error.to_string()))
}

impl Read for Transfer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let fault = match self.body.as_mut().map(|body| body.read(into)) {
                None => match self.ask() {
                    Ok(()) => continue,
                    Err(fault) => fault,
                },
                Some(Ok(0)) if into.is_empty() || self.is_whole() => return Ok(0),
                Some(Ok(0)) => Fault::passing("the transfer ended early"),
                Some(Ok(length)) => {
                    (self.at, self.tries) = (self.at + length as u64, 0);
                    return Ok(length);
                }
                Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Some(Err(error)) => broken(&error),
            };
            self.pause(fault).map_err(io::Error::other)?;
        }
    }
}

fn read_to_end(reader: &mut dyn Read, limit: u64, address: &Address) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| failure_in(&error).unwrap_or_else(|| address.failure(&broken(&error))))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::dataset(format!("{address}: expected at most {limit} bytes, got more")));
    }
    Ok(bytes)
}

/// Reads a whole file.
///
/// # Errors
/// `source-unreadable`; `invalid-dataset` for one of more than `limit` bytes.
pub(super) fn read_whole(address: &Address, limit: u64, patience: Patience) -> Result<Vec<u8>> {
    let mut transfer = Transfer::new(address, 0, None, patience)?;
    let bytes = read_to_end(&mut transfer, limit, address)?;
    if transfer.is_packed && bytes.starts_with(&MAGIC) {
        return read_to_end(&mut Gzip::new(bytes.as_slice()), limit, address);
    }
    Ok(bytes)
}

/// Reads a part of a file.
///
/// # Errors
/// `source-unreadable`.
pub(super) fn read_part(address: &Address, from: u64, length: usize) -> Result<Vec<u8>> {
    let Some(last) = (from + length as u64).checked_sub(1).filter(|_| length > 0) else { return Ok(Vec::new()) };
    let mut transfer = Transfer::new(address, from, Some(last), Patience::Much)?;
    read_to_end(&mut transfer, length as u64, address)
}
