//! Parses and validates the header of a safetensors file: <https://github.com/huggingface/safetensors#format>.
//!
//! The `safetensors` crate needs the whole file in memory, has 32-bit offsets on Wasm, and accepts duplicate keys. Files here are
//! read tensor by tensor, may be larger than a tab's memory, and are not trusted.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::{ClipError, Result};

/// Bytes of the header's length, at the start of a file.
const LENGTH_BYTES: usize = 8;

/// Limit of the `safetensors` crate.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// A tensor's entry in the header.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TensorInfo {
    /// Element type: `F32`, `F16`, `BF16`…
    pub dtype: String,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// First byte and end (exclusive), relative to the end of the header.
    pub data_offsets: (u64, u64),
}

impl TensorInfo {
    /// Bytes of an element; `None` for an unknown type.
    pub fn element_bytes(&self) -> Option<u64> {
        match self.dtype.as_str() {
            "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" => Some(1),
            "I16" | "U16" | "F16" | "BF16" => Some(2),
            "I32" | "U32" | "F32" => Some(4),
            "I64" | "U64" | "F64" => Some(8),
            _ => None,
        }
    }
}

/// A valid header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    tensors: HashMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
    data_start: u64,
    file_length: u64,
}

fn invalid(message: impl Into<String>) -> ClipError {
    ClipError::InvalidCheckpoint { message: message.into() }
}

/// Entries in the order of the file. A duplicate key is an error.
struct Entries(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> core::result::Result<Entries, A::Error> {
                let mut entries = Vec::new();
                let mut seen = std::collections::HashSet::new();
                while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format!("duplicate key {key:?}")));
                    }
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Header {
    /// Number of bytes from the start of a file that [`parse`](Self::parse) needs, read from the first eight.
    ///
    /// # Errors
    /// `invalid-checkpoint` for fewer than eight bytes, or a length above the limit.
    pub fn length(start: &[u8]) -> Result<usize> {
        let Some(bytes) = start.first_chunk::<LENGTH_BYTES>() else {
            return Err(invalid(format!("expected a safetensors file, got {} bytes", start.len())));
        };
        let length = u64::from_le_bytes(*bytes);
        if length > MAX_HEADER_BYTES {
            // the file is something else: a "not found" page, a pickle, a zip
            let text: String =
                start.iter().take(24).map(|&b| if b.is_ascii_graphic() { b as char } else { ' ' }).collect();
            return Err(invalid(format!(
                "expected a safetensors header of at most {MAX_HEADER_BYTES} bytes, got {length} (the file starts with {:?})",
                text.trim()
            )));
        }
        Ok(LENGTH_BYTES + length as usize)
    }

    /// Parses the header at the `start` of a file of `file_length` bytes, and checks that its tensors are contiguous and fill the
    /// rest of the file.
    ///
    /// # Errors
    /// `invalid-checkpoint`.
    pub fn parse(start: &[u8], file_length: u64) -> Result<Self> {
        let stop = Self::length(start)?;
        let Some(json) = start.get(LENGTH_BYTES..stop) else {
            return Err(invalid(format!("expected a header of {stop} bytes, got a file of {} bytes", start.len())));
        };
        let json = core::str::from_utf8(json).map_err(|e| invalid(format!("the header is not UTF-8: {e}")))?;
        let Entries(entries) = serde_json::from_str(json).map_err(|e| invalid(format!("header: {e}")))?;
        let mut header =
            Self { tensors: HashMap::new(), metadata: HashMap::new(), data_start: stop as u64, file_length };
        for (name, value) in entries {
            if name == "__metadata__" {
                header.metadata = serde_json::from_value(value).map_err(|e| invalid(format!("__metadata__: {e}")))?;
            } else {
                let info = serde_json::from_value(value).map_err(|e| invalid(format!("{name}: {e}")))?;
                header.tensors.insert(name, info);
            }
        }
        header.check_offsets()?;
        Ok(header)
    }

    fn check_offsets(&self) -> Result<()> {
        let mut sorted: Vec<(&String, &TensorInfo)> = self.tensors.iter().collect();
        sorted.sort_unstable_by_key(|(name, info)| (info.data_offsets, *name));
        let mut next = 0;
        for (name, info) in sorted {
            let (begin, end) = info.data_offsets;
            if begin != next || end < begin {
                return Err(invalid(format!("{name}: expected bytes that start at {next}, got {begin} to {end}")));
            }
            next = end;
            let values = info.shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side));
            let Some(each) = info.element_bytes() else { continue };
            if values.and_then(|n| n.checked_mul(each)) != Some(end - begin) {
                return Err(invalid(format!(
                    "{name}: expected the bytes of {} {:?}, got {}",
                    info.dtype,
                    info.shape,
                    end - begin
                )));
            }
        }
        if self.data_start.checked_add(next) != Some(self.file_length) {
            return Err(invalid(format!(
                "expected a file of {} bytes, by its header, got {}: the file is truncated or damaged",
                u128::from(self.data_start) + u128::from(next),
                self.file_length
            )));
        }
        Ok(())
    }

    /// An entry of `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Names of all tensors, in arbitrary order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// First byte of a tensor in the file, and its end (exclusive).
    pub fn bytes_of(&self, info: &TensorInfo) -> (u64, u64) {
        (self.data_start + info.data_offsets.0, self.data_start + info.data_offsets.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(json: &str, data: usize) -> Vec<u8> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        bytes
    }

    fn parse(json: &str, data: usize) -> Result<Header> {
        let bytes = file(json, data);
        Header::parse(&bytes, bytes.len() as u64)
    }

    const F32_2: &str = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;

    #[test]
    fn contiguous_tensors_are_accepted() {
        let header = parse(
            &format!(r#"{{"__metadata__":{{"k":"v"}},"a":{F32_2},"empty":{{"dtype":"F16","shape":[0,3],"data_offsets":[8,8]}}}}"#),
            8,
        )
        .unwrap();
        assert_eq!(header.metadata("k"), Some("v"));
        let a = header.tensor("a").unwrap();
        let (begin, end) = header.bytes_of(a);
        assert_eq!((a.shape.as_slice(), end - begin), ([2].as_slice(), 8));
    }

    #[test]
    fn invalid_headers_are_refused() {
        let two = |b: &str| format!(r#"{{"a":{F32_2},"b":{b}}}"#);
        let cases = [
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), 8, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[12,16]}"#), 16, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#), 8, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,12]}"#), 8, "truncated"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[-8,12]}"#), 8, "b: invalid value"),
            (two(r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#), 8, ""),
            (two(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#), 8, "start at 8"),
            (
                two(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[8,8]}"#),
                8,
                "expected the bytes of",
            ),
            (two(r#"{"dtype":"F32","shape":[3],"data_offsets":[8,18446744073709551615]}"#), 8, "expected the bytes of"),
            (format!(r#"{{"a":{F32_2},"a":{F32_2}}}"#), 8, "duplicate key"),
            (format!(r#"{{"a":{F32_2}}}"#), 9, "truncated"),
            ("[]".into(), 0, "header"),
            ("{".into(), 0, "header"),
            (r#"{"__metadata__":{"a":1}}"#.into(), 0, "__metadata__"),
        ];
        for (json, data, message) in cases {
            match parse(&json, data) {
                Err(error) => assert!(!message.is_empty() && error.to_string().contains(message), "{json}: {error}"),
                Ok(_) => assert!(message.is_empty(), "{json} was accepted"),
            }
        }
    }

    #[test]
    fn other_files_are_refused_with_a_reason() {
        for (bytes, message) in [
            (&b""[..], "got 0 bytes"),
            (b"<!DOCTYPE html><title>404", "<!DOCTYPE"),
            (b"PK\x03\x04 a zip file", "PK"),
            (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "9223372036854775807"),
            (b"\x09\0\0\0\0\0\0\0{}", "got a file of 10 bytes"),
            (b"\x02\0\0\0\0\0\0\0\xff\xfe", "UTF-8"),
        ] {
            let error = Header::parse(bytes, bytes.len() as u64).unwrap_err();
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
