//! Numbers as text in JSON: the shortest text that reads back bit for bit, which serde_json's own numbers do not.
//! Reading takes plain numbers as well.

use core::fmt;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A type of number that is stored as text.
pub(crate) trait Number: Copy + fmt::Display {
    /// What a text that is refused should have been.
    const EXPECTED: &'static str;

    /// Reads a text.
    fn parse(text: &str) -> Option<Self>;
}

impl Number for f64 {
    const EXPECTED: &'static str = "a number";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Number for f32 {
    const EXPECTED: &'static str = "a number";

    fn parse(text: &str) -> Option<Self> {
        f64::parse(text).map(|value| value as Self)
    }
}

impl Number for usize {
    const EXPECTED: &'static str = "a whole number from 0 to 4294967295";

    // 32 bits, as on wasm32: a state must read the same everywhere
    fn parse(text: &str) -> Option<Self> {
        text.parse::<u32>().ok().map(|value| value as Self)
    }
}

impl Number for u64 {
    const EXPECTED: &'static str = "a whole number from 0 to 18446744073709551615";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A number that is stored as text.
struct Exact<T>(T);

impl<T: Number> Serialize for Exact<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: Number> Deserialize<'de> for Exact<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = deserializer.deserialize_any(NumberText(T::EXPECTED))?;
        T::parse(&text).map(Self).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &T::EXPECTED))
    }
}

/// The text of a number, given as text or as a number.
struct NumberText(&'static str);

impl Visitor<'_> for NumberText {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }
}

/// For `#[serde(with = "exact")]`.
pub(crate) fn serialize<T: Number, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    Exact(*value).serialize(serializer)
}

/// For `#[serde(with = "exact")]`.
pub(crate) fn deserialize<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    Exact::deserialize(deserializer).map(|Exact(value)| value)
}

/// For `#[serde(with = "exact::option")]`.
pub(crate) mod option {
    use super::*;

    pub(crate) fn serialize<T: Number, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Exact).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        Ok(Option::<Exact<T>>::deserialize(deserializer)?.map(|Exact(value)| value))
    }
}

/// For `#[serde(with = "exact::pair")]`.
pub(crate) mod pair {
    use super::*;

    pub(crate) fn serialize<T: Number, S: Serializer>(value: &[T; 2], serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Exact).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Number, D: Deserializer<'de>>(deserializer: D) -> Result<[T; 2], D::Error> {
        Ok(<[Exact<T>; 2]>::deserialize(deserializer)?.map(|Exact(value)| value))
    }
}
