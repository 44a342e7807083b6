//! SHA-256, which identifies cached files and data sets.

use core::fmt::Write;

use sha2::Digest;

/// A digest of bytes that come in pieces.
#[derive(Debug, Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest, in hexadecimal.
    pub fn finish(self) -> String {
        self.0.finalize().iter().fold(String::new(), |mut text, byte| {
            // writing to a string cannot fail
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_digest_of_the_whole() {
        let mut sum = Sha256::default();
        sum.update(b"a");
        sum.update(b"bc");
        assert_eq!(sum.finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
