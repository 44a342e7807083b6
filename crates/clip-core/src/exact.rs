//! f64 as JSON strings, which are read back bit for bit; serde_json's numbers are not.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// For `#[serde(with = "exact")]`.
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_string().serialize(serializer)
}

/// For `#[serde(with = "exact")]`.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}

/// The same for `Option<f64>`.
pub(crate) mod option {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

/// The same for `[f64; 2]`.
pub(crate) mod pair {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &[f64; 2], serializer: S) -> Result<S::Ok, S::Error> {
        value.map(|value| value.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[f64; 2], D::Error> {
        let [first, second] = <[String; 2]>::deserialize(deserializer)?;
        let parse = |text: String| text.parse().map_err(D::Error::custom);
        Ok([parse(first)?, parse(second)?])
    }
}
