//! JSON values as they pass through an execution: shared, with their text made at most once.
//!
//! A value is stored as its text, so that what is written to disk, what a history shows and what is
//! held against the size limit are the same bytes.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A shared JSON value. Cheap to clone.
#[derive(Clone)]
pub struct Data(Arc<Inner>);

struct Inner {
    value: Value,
    text: OnceLock<Box<str>>,
}

impl Data {
    pub fn new(value: Value) -> Self {
        Self(Arc::new(Inner { value, text: OnceLock::new() }))
    }

    /// Reads a JSON text and keeps it as it is.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let value = serde_json::from_str(text)?;
        let kept = OnceLock::new();
        let _ = kept.set(text.into());
        Ok(Self(Arc::new(Inner { value, text: kept })))
    }

    pub fn value(&self) -> &Value {
        &self.0.value
    }

    /// The value itself, copied only if somebody else holds it too.
    pub fn into_value(self) -> Value {
        match Arc::try_unwrap(self.0) {
            Ok(inner) => inner.value,
            Err(shared) => shared.value.clone(),
        }
    }

    pub fn text(&self) -> &str {
        self.0.text.get_or_init(|| self.0.value.to_string().into_boxed_str())
    }

    /// Is its text longer than so many bytes? Makes the text only if a rough count leaves it open.
    pub fn exceeds(&self, bytes_max: usize) -> bool {
        if let Some(text) = self.0.text.get() {
            return text.len() > bytes_max;
        }
        let mut room = bytes_max;
        if fits_surely(&self.0.value, &mut room) {
            return false;
        }
        self.text().len() > bytes_max
    }
}

/// Counts every byte as if it had to be escaped.
fn fits_surely(value: &Value, room: &mut usize) -> bool {
    const ESCAPED: usize = 6;
    const SCALAR: usize = 32;
    let mut take = |bytes: usize| match room.checked_sub(bytes) {
        Some(left) => {
            *room = left;
            true
        }
        None => false,
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(SCALAR),
        Value::String(text) => take(text.len() * ESCAPED + 2),
        Value::Array(items) => take(items.len() + 2) && items.iter().all(|item| fits_surely(item, room)),
        Value::Object(fields) => {
            take(fields.len() * 5 + 2)
                && fields.iter().all(|(key, value)| {
                    let key = key.len() * ESCAPED;
                    *room >= key && {
                        *room -= key;
                        fits_surely(value, room)
                    }
                })
        }
    }
}

impl Default for Data {
    /// `{}`
    fn default() -> Self {
        Self::new(Value::Object(serde_json::Map::new()))
    }
}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self::new(value)
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text())
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Data;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON text")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Data, E> {
                Data::parse(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
