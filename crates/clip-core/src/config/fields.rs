//! Reads typed fields of a published config; errors name the field's path.

use serde_json::Value;

use super::invalid;
use crate::error::Result;

/// An object of a config.
pub(crate) struct Fields<'a> {
    value: &'a Value,
    path: String,
}

impl<'a> Fields<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, path: String::new() }
    }

    /// Path of a field.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.into() } else { format!("{}.{key}", self.path) }
    }

    /// A field; `None` if it is missing or `null`.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.value.get(key).filter(|v| !v.is_null())
    }

    fn typed<T>(&self, key: &str, expected: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| invalid(&self.path(key), expected, short(value)))
    }

    /// A nested object; empty if it is missing.
    pub(crate) fn object(&self, key: &str) -> Result<Self> {
        const EMPTY: &Value = &Value::Null;
        let value = self.typed(key, "an object", |v| v.is_object().then_some(v))?.unwrap_or(EMPTY);
        Ok(Self { value, path: self.path(key) })
    }

    /// All fields; `None` if this is not an object.
    pub(crate) fn entries(&self) -> Option<&'a serde_json::Map<String, Value>> {
        self.value.as_object()
    }

    pub(crate) fn str(&self, key: &str) -> Result<Option<&'a str>> {
        self.typed(key, "a string", Value::as_str)
    }

    pub(crate) fn bool(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.typed(key, "true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// Like [`Self::bool`], but `null` is false, as in Python's `if value`.
    pub(crate) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let null = self.value.get(key).is_some_and(Value::is_null);
        self.bool(key, default && !null)
    }

    pub(crate) fn usize(&self, key: &str, default: usize) -> Result<usize> {
        let whole = |v: &Value| v.as_u64().and_then(|n| usize::try_from(n).ok());
        Ok(self.typed(key, "a whole number", whole)?.unwrap_or(default))
    }

    pub(crate) fn f64(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.typed(key, "a number", Value::as_f64)?.unwrap_or(default))
    }

    /// Three numbers, one per channel, or one for all channels.
    pub(crate) fn channels(&self, key: &str, default: [f32; 3]) -> Result<[f32; 3]> {
        let three = |v: &Value| {
            if let Some(one) = v.as_f64() {
                return Some([one as f32; 3]);
            }
            let numbers: Option<Vec<f32>> = v.as_array()?.iter().map(|x| x.as_f64().map(|x| x as f32)).collect();
            <[f32; 3]>::try_from(numbers?).ok()
        };
        Ok(self.typed(key, "three numbers", three)?.unwrap_or(default))
    }

    /// Refuses any other value.
    pub(crate) fn only(&self, key: &str, supported: impl Into<Value>) -> Result<()> {
        let supported = supported.into();
        match self.get(key) {
            Some(value) if *value != supported => Err(invalid(&self.path(key), supported.to_string(), short(value))),
            _ => Ok(()),
        }
    }
}

/// A value's JSON, shortened for messages.
pub(crate) fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(60).collect::<String>() + "…" }
}
