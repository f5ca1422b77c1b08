//! The text of a definition as JSON, with the place of every value in it. YAML becomes JSON first.

mod json;
mod yaml;

use crate::Diagnostic;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Largest definition, as in Step Functions: 1 MiB.
pub const DEFINITION_BYTES_MAX: usize = 1_048_576;
/// Deepest nesting of a definition.
pub const JSON_DEPTH_MAX: usize = 100;

/// Line and column, both from 1. Columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A text that was read.
#[derive(Debug, Clone)]
pub struct Document {
    pub value: Value,
    /// By JSON pointer; of an object's member, the place of its key. Empty if there was no text.
    places: BTreeMap<String, Place>,
}

impl Document {
    /// JSON if the text starts like JSON, else YAML.
    pub fn read(text: &str) -> Result<Document, Vec<Diagnostic>> {
        if text.len() > DEFINITION_BYTES_MAX {
            let message = format!("The definition is longer than {DEFINITION_BYTES_MAX} bytes");
            return Err(vec![Diagnostic::error(SCHEMA, message, "/")]);
        }
        if text.trim_start().starts_with(['{', '[']) || !yaml::is_mapping(text) {
            json::read(text)
        } else {
            yaml::read(text)
        }
    }

    /// A value without text.
    pub fn of(value: Value) -> Result<Document, Vec<Diagnostic>> {
        if depth(&value) > JSON_DEPTH_MAX {
            return Err(vec![too_deep("/")]);
        }
        Ok(Document { value, places: BTreeMap::new() })
    }

    /// Where a JSON pointer stands in the text; of what is not there, its nearest parent. `/` alone is the whole.
    pub fn place(&self, pointer: &str) -> Option<Place> {
        let mut pointer = if pointer == "/" { "" } else { pointer };
        loop {
            if let Some(place) = self.places.get(pointer) {
                return Some(*place);
            }
            pointer = &pointer[..pointer.rfind('/')?];
        }
    }

    /// Members of the object at `pointer` in the order of the text; without text by name.
    pub(crate) fn members<'a>(
        &self,
        pointer: &str,
        object: &'a Map<String, Value>,
    ) -> Vec<(&'a str, &'a Value)> {
        let mut members: Vec<(&str, &Value)> = object.iter().map(|(k, v)| (k.as_str(), v)).collect();
        if !self.places.is_empty() {
            members.sort_by_key(|(key, _)| self.places.get(&join(pointer, key)).copied());
        }
        members
    }
}

/// Line and column of a JSON pointer in JSON or YAML text; `None` if the text cannot be read.
pub fn place(text: &str, pointer: &str) -> Option<Place> {
    Document::read(text).ok()?.place(pointer)
}

pub(crate) const SCHEMA: &str = "SCHEMA_VALIDATION_FAILED";
pub(crate) const INVALID_JSON: &str = "INVALID_JSON_DESCRIPTION";

/// The pointer of a member. Names are escaped as in RFC 6901.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

fn too_deep(location: &str) -> Diagnostic {
    let message = format!("The definition is nested deeper than {JSON_DEPTH_MAX} levels");
    Diagnostic::error(SCHEMA, message, location)
}

/// Levels of a value, its own among them.
pub(crate) fn depth(value: &Value) -> usize {
    let mut deepest = 0;
    let mut rest = vec![(value, 1)];
    while let Some((value, level)) = rest.pop() {
        deepest = deepest.max(level);
        match value {
            Value::Array(items) => rest.extend(items.iter().map(|v| (v, level + 1))),
            Value::Object(fields) => rest.extend(fields.values().map(|v| (v, level + 1))),
            _ => {}
        }
    }
    deepest
}
