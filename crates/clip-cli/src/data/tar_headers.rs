//! Makes the headers of a tar file what the package takes them for, before the archive is read.

use std::io::{Error, ErrorKind, Read, Result};

use tar::{EntryType, Header};

/// Bytes of a tar file's blocks.
pub(super) const BLOCK: usize = 512;
/// Bytes of the longest name or table of attributes, which the archive reads into memory; a shard's have a few hundred.
const MAX_METADATA_BYTES: u64 = 8 << 20;

/// Whether a block is a header: its checksum is the sum of its bytes, with the checksum itself as spaces.
pub(super) fn is_header(block: &[u8]) -> bool {
    let header = Header::from_byte_slice(block);
    let sum: u32 =
        block.iter().enumerate().map(|(i, &byte)| if (148..156).contains(&i) { 32 } else { u32::from(byte) }).sum();
    header.cksum().is_ok_and(|cksum| cksum == sum)
}

/// Passes on a tar file with other headers for some members: links, devices and folders have no bytes, whatever their size says, and
/// all other types are files, a sparse one its stored bytes. All stays where it is.
pub(super) struct TarHeaders<R> {
    file: R,
    /// Bytes left of a member.
    left: u64,
    block: [u8; BLOCK],
    /// What is passed on of the block.
    pending: std::ops::Range<usize>,
}

impl<R: Read> TarHeaders<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, left: 0, block: [0; BLOCK], pending: 0..0 }
    }

    fn read_block(&mut self) -> Result<()> {
        let mut filled = 0;
        while filled < BLOCK {
            match self.file.read(&mut self.block[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.pending = 0..filled;
        // the archive refuses a block that is no header, or takes it as its end
        if filled == BLOCK && is_header(&self.block) { self.take_header() } else { Ok(()) }
    }

    fn take_header(&mut self) -> Result<()> {
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.block);
        // a size of spaces means 0
        let is_blank = header.as_old().size.iter().take_while(|byte| **byte != 0).all(|byte| *byte == b' ');
        let size = if is_blank { 0 } else { header.entry_size()? };
        header.set_size(size);
        match header.entry_type() {
            EntryType::Link
            | EntryType::Symlink
            | EntryType::Char
            | EntryType::Block
            | EntryType::Directory
            | EntryType::Fifo => header.set_size(0),
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
                if size > MAX_METADATA_BYTES =>
            {
                let message = format!("expected at most {MAX_METADATA_BYTES} bytes of a member's metadata, got {size}");
                return Err(Error::new(ErrorKind::InvalidData, message));
            }
            EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader => {}
            // sparse files and unknown types are files
            _ => header.set_entry_type(EntryType::Regular),
        }
        header.set_cksum();
        self.left = header.entry_size()?.next_multiple_of(BLOCK as u64);
        self.block.copy_from_slice(header.as_bytes());
        Ok(())
    }
}

impl<R: Read> Read for TarHeaders<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        if self.pending.is_empty() && self.left == 0 && !into.is_empty() {
            self.read_block()?;
        }
        if self.pending.is_empty() {
            let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
            let read = self.file.read(&mut into[..most])?;
            self.left -= read as u64;
            return Ok(read);
        }
        let read = (&self.block[self.pending.clone()]).read(into)?;
        self.pending.start += read;
        Ok(read)
    }
}
