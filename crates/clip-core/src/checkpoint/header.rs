//! The header of a safetensors file, believed only after it was checked: <https://github.com/huggingface/safetensors#format>.
//!
//! The `safetensors` crate wants the whole file in memory, counts in 32 bits on Wasm and lets the last of two equal keys
//! win; files here are read a tensor at a time, may be larger than a tab's memory, and come from anywhere.

use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::error::{ClipError, Result};

/// Bytes of the length before the header.
const LENGTH_BYTES: usize = 8;

/// As in the `safetensors` crate: more is no header.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// What a safetensors file says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct TensorInfo {
    /// Element type: `F32`, `F16`, `BF16`…
    pub dtype: String,
    /// Sides.
    pub shape: Vec<u64>,
    /// First byte and the one after the last, from the end of the header.
    pub data_offsets: (u64, u64),
}

impl TensorInfo {
    /// Bytes of an element; none for a type that is not known here.
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

/// A checked header.
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

/// Entries in the order of the file, or the key that comes twice.
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
                        return Err(A::Error::custom(format!("{key:?} comes twice")));
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
    /// Bytes from the start of a file that [`parse`](Self::parse) needs, told by the first eight.
    ///
    /// # Errors
    /// `invalid-checkpoint` for fewer than eight bytes, or a length that no header has.
    pub fn length(start: &[u8]) -> Result<usize> {
        let Some(bytes) = start.first_chunk::<LENGTH_BYTES>() else {
            return Err(invalid(format!("expected a safetensors file, got {} bytes", start.len())));
        };
        let length = u64::from_le_bytes(*bytes);
        if length > MOST_HEADER_BYTES {
            // what else starts so: a page that says "not found", a pickle, a zip
            let text: String =
                start.iter().take(24).map(|&b| if b.is_ascii_graphic() { b as char } else { ' ' }).collect();
            return Err(invalid(format!(
                "expected a safetensors header of at most {MOST_HEADER_BYTES} bytes, got {length} (the file starts with {:?})",
                text.trim()
            )));
        }
        Ok(LENGTH_BYTES + length as usize)
    }

    /// Reads the header at the `start` of a file of `file_length` bytes, and checks that its tensors lie side by side and
    /// fill the rest of the file.
    ///
    /// # Errors
    /// `invalid-checkpoint`.
    pub fn parse(start: &[u8], file_length: u64) -> Result<Self> {
        let stop = Self::length(start)?;
        let Some(json) = start.get(LENGTH_BYTES..stop) else {
            return Err(invalid(format!("expected a header of {stop} bytes, got a file of {} bytes", start.len())));
        };
        let json =
            core::str::from_utf8(json).map_err(|e| invalid(format!("expected UTF-8 in the header, got: {e}")))?;
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
                return Err(invalid(format!("{name}: expected its bytes to start at {next}, got {begin} to {end}")));
            }
            next = end;
            let values = info.shape.iter().try_fold(1u64, |n, &side| n.checked_mul(side));
            let Some(each) = info.element_bytes() else { continue };
            if values.and_then(|n| n.checked_mul(each)) != Some(end - begin) {
                return Err(invalid(format!(
                    "{name}: expected as many bytes as {} {:?} takes, got {}",
                    info.dtype,
                    info.shape,
                    end - begin
                )));
            }
        }
        if self.data_start.checked_add(next) != Some(self.file_length) {
            return Err(invalid(format!(
                "expected a file of {} bytes, as its header says, got {}: was it cut short?",
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

    /// Names of all tensors, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// First byte of a tensor in the file, and the one after its last.
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
    fn what_is_side_by_side_is_read() {
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
    fn lies_are_refused() {
        let two = |b: &str| format!(r#"{{"a":{F32_2},"b":{b}}}"#);
        let cases = [
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), 8, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[12,16]}"#), 16, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#), 8, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,12]}"#), 8, "cut short"),
            (two(r#"{"dtype":"F32","shape":[1],"data_offsets":[-8,12]}"#), 8, "b: invalid value"),
            (two(r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#), 8, ""),
            (two(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#), 8, "start at 8"),
            (two(r#"{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[8,8]}"#), 8, "as many bytes"),
            (two(r#"{"dtype":"F32","shape":[3],"data_offsets":[8,18446744073709551615]}"#), 8, "as many bytes"),
            (format!(r#"{{"a":{F32_2},"a":{F32_2}}}"#), 8, "comes twice"),
            (format!(r#"{{"a":{F32_2}}}"#), 9, "cut short"),
            ("[]".into(), 0, "header"),
            ("{".into(), 0, "header"),
            (r#"{"__metadata__":{"a":1}}"#.into(), 0, "__metadata__"),
        ];
        for (json, data, message) in cases {
            match parse(&json, data) {
                Err(error) => assert!(!message.is_empty() && error.to_string().contains(message), "{json}: {error}"),
                Ok(_) => assert!(message.is_empty(), "{json} was believed"),
            }
        }
    }

    #[test]
    fn what_is_no_safetensors_is_refused_in_words() {
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
