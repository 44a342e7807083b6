//! Unpacks gzip files of one or more members.

use std::io::{BufRead, Read, Result};

use flate2::bufread::GzDecoder;

/// First bytes of a gzip file.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Unpacks all members one after the other. What follows them and is no member, as the padding of a disk or a tape, is left out, as
/// gzip and browsers do it.
pub(super) struct Gzip<R> {
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Gzip<R> {
    pub(super) fn new(file: R) -> Self {
        Self { member: Some(GzDecoder::new(file)) }
    }
}

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(into)?;
            if read > 0 || into.is_empty() {
                return Ok(read);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else { break };
            if rest.fill_buf()?.first() == Some(&MAGIC[0]) {
                self.member = Some(GzDecoder::new(rest));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(text.as_bytes()).unwrap();
        packer.finish().unwrap()
    }

    fn unpacked(bytes: &[u8]) -> Result<String> {
        let mut text = String::new();
        Gzip::new(bytes).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn members_are_joined_and_padding_is_left_out() {
        let two = [packed("one, "), packed("two")].concat();
        assert_eq!(unpacked(&two).unwrap(), "one, two");
        assert_eq!(unpacked(&[two.as_slice(), &[0; 512]].concat()).unwrap(), "one, two");
        assert!(unpacked(&two[..two.len() - 1]).is_err());
        assert!(unpacked(&[two.as_slice(), &MAGIC].concat()).is_err());
    }
}
