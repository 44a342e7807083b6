//! JSON objects that keep the order of their keys: tokens are added in that order, which sets their ids.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A JSON object.
pub(crate) type Object = IndexMap<String, Json>;

/// A JSON value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Self>),
    Object(Object),
}

impl Json {
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        if let Self::Number(number) = self { number.as_f64() } else { None }
    }

    /// Name of its type in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null | Self::Array(_) | Self::Object(_) => "object",
            Self::Bool(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
        }
    }
}

impl core::fmt::Display for Json {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}

/// Parses an object; an empty one without a file.
///
/// # Errors
/// `invalid-tokenizer`.
pub(crate) fn parse_object(json: Option<&str>, file: &str) -> Result<Object> {
    let Some(json) = json else { return Ok(Object::new()) };
    match serde_json::from_str(json).map_err(|error| Error::Invalid(format!("{file}: {error}")))? {
        Json::Object(object) => Ok(object),
        _ => Err(Error::Invalid(format!("{file}: expected an object"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_keep_their_order_and_the_last_of_equal_keys() {
        let json = r#"{"b":1,"a":{"z":null,"y":[true,"x",-1,1e30]},"b":2}"#;
        let object = parse_object(Some(json), "a.json").unwrap();
        assert_eq!(Json::Object(object).to_string(), r#"{"b":2,"a":{"z":null,"y":[true,"x",-1,1e+30]}}"#);
        assert!(parse_object(None, "a.json").unwrap().is_empty());
        for (json, expected) in [("[]", "a.json: expected an object"), ("{", "a.json: EOF")] {
            let error = parse_object(Some(json), "a.json").unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
