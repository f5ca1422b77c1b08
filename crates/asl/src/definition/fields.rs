//! Reading the fields of one object: their types, what must be there, what must not.

use super::QueryLanguage;
use super::template;
use crate::document::{Document, SCHEMA, join};
use crate::timestamp::parse_timestamp_ms;
use crate::{Diagnostic, Expr, Jsonata, Path, ResultPath, Selector, Setting, Source, Template};
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::HashMap;

/// What is read, and the faults found so far.
pub(super) struct Reading<'a> {
    pub document: &'a Document,
    pub faults: RefCell<Vec<Diagnostic>>,
    /// Names of states with where they stand.
    pub names: RefCell<HashMap<String, String>>,
}

impl Reading<'_> {
    pub fn fault(&self, code: &'static str, message: impl Into<String>, location: &str) {
        let location = if location.is_empty() { "/" } else { location };
        self.faults.borrow_mut().push(Diagnostic::error(code, message, location));
    }

    pub fn schema(&self, message: impl Into<String>, location: &str) {
        self.fault(SCHEMA, message, location);
    }
}

/// One object of the definition.
#[derive(Clone, Copy)]
pub(super) struct Fields<'r, 'a> {
    pub reading: &'r Reading<'a>,
    pub pointer: &'r str,
    pub map: &'a Map<String, Value>,
    pub language: QueryLanguage,
}

/// A text field and how long it may be; a number field and its bounds.
const TEXT_CHARS_MAX: usize = 1 << 20;

impl<'r, 'a> Fields<'r, 'a> {
    /// The object at `pointer`; another type is a fault.
    pub fn of(
        reading: &'r Reading<'a>,
        pointer: &'r str,
        value: &'a Value,
        language: QueryLanguage,
    ) -> Option<Fields<'r, 'a>> {
        match value {
            Value::Object(map) => Some(Fields { reading, pointer, map, language }),
            _ => {
                reading.schema("Expected value of type Object", pointer);
                None
            }
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key)
    }

    pub fn at(&self, key: &str) -> String {
        join(self.pointer, key)
    }

    pub fn fault(&self, key: &str, message: impl Into<String>) {
        self.reading.schema(message, &self.at(key));
    }

    pub fn is_jsonata(&self) -> bool {
        self.language == QueryLanguage::Jsonata
    }

    /// Faults for what is not in `allowed`; fields of the other query language are named as such.
    pub fn only(&self, allowed: &[&str], json_path: &[&str], jsonata: &[&str]) {
        for (key, _) in self.reading.document.members(self.pointer, self.map) {
            let (mine, others, name, other) = match self.language {
                QueryLanguage::JsonPath => (json_path, jsonata, "JSONPath", "JSONata"),
                QueryLanguage::Jsonata => (jsonata, json_path, "JSONata", "JSONPath"),
            };
            if allowed.contains(&key) || mine.contains(&key) {
                continue;
            }
            let message = if others.contains(&key) {
                format!(
                    "The QueryLanguage is set to '{name}', but field '{key}' is only supported for the '{other}' QueryLanguage"
                )
            } else {
                "Field is not supported".to_owned()
            };
            self.fault(key, message);
        }
    }

    /// One fault that names all fields that are missing.
    pub fn require(&self, keys: &[&str]) {
        let missing: Vec<&str> = keys.iter().copied().filter(|key| !self.has(key)).collect();
        if !missing.is_empty() {
            let message = format!("These fields are required: [{}]", missing.join(", "));
            self.reading.schema(message, self.pointer);
        }
    }

    /// At most one of `keys`, and with `needed` at least one. Whether that is so.
    pub fn one_of(&self, keys: &[&str], needed: bool) -> bool {
        let found = keys.iter().filter(|key| self.has(key)).count();
        let message = match found {
            0 if needed => format!("Exactly one of these fields is required: [{}]", keys.join(", ")),
            0 | 1 => return true,
            _ => format!("Only one of these fields is allowed: [{}]", keys.join(", ")),
        };
        self.reading.schema(message, self.pointer);
        false
    }

    pub fn string(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Value::String(text) if text.len() <= TEXT_CHARS_MAX => Some(text.clone()),
            _ => {
                self.fault(key, "Expected value of type String");
                None
            }
        }
    }

    /// A string out of a few.
    pub fn choice(&self, key: &str, choices: &[&str]) -> Option<String> {
        let text = self.string(key)?;
        let dynamic = self.is_jsonata() && Jsonata::enclosed(&text).is_some();
        if !choices.contains(&text.as_str()) && !dynamic {
            let choices = choices.join(", ");
            self.fault(key, format!("The field '{key}' should have one of these values: [{choices}]"));
        }
        Some(text)
    }

    pub fn boolean(&self, key: &str) -> Option<bool> {
        let value = self.get(key)?;
        if value.as_bool().is_none() {
            self.fault(key, "Expected value of type Boolean");
        }
        value.as_bool()
    }

    /// A whole number that stands in the definition.
    pub fn whole(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.get(key)?;
        let number = value.as_u64().or_else(|| {
            value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0 && *n < 1e15).map(|n| n as u64)
        });
        match number {
            Some(n) if (least..=most).contains(&n) => Some(n),
            _ if value.is_number() => {
                self.fault(key, format!("Value must be a whole number from {least} to {most}"));
                None
            }
            _ => {
                self.fault(key, "Expected value of type Integer");
                None
            }
        }
    }

    pub fn number(&self, key: &str, least: f64, most: f64) -> Option<f64> {
        let number = self.get(key)?.as_f64();
        match number {
            Some(n) if (least..=most).contains(&n) => Some(n),
            Some(_) => {
                self.fault(key, format!("Value must be from {least} to {most}"));
                None
            }
            None => {
                self.fault(key, "Expected value of type Number");
                None
            }
        }
    }

    pub fn strings(&self, key: &str) -> Option<Vec<String>> {
        let Some(items) = self.get(key)?.as_array() else {
            self.fault(key, "Expected value of type Array");
            return None;
        };
        let texts: Vec<String> = items.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect();
        if texts.len() != items.len() {
            self.fault(key, "Expected an array of strings");
        }
        Some(texts)
    }

    pub fn path(&self, key: &str) -> Option<Path> {
        let text = self.string(key)?;
        match Path::parse(&text) {
            Ok(path) => Some(path),
            Err(why) => {
                self.fault(key, format!("Value is not a valid JSONPath: Invalid path '{text}': {why}"));
                None
            }
        }
    }

    pub fn selector(&self, key: &str) -> Selector {
        match self.get(key) {
            None => Selector::Whole,
            Some(Value::Null) => Selector::Nothing,
            Some(_) => match self.path(key) {
                Some(path) if path.is_whole_input() => Selector::Whole,
                Some(path) => Selector::Path(path),
                None => Selector::Whole,
            },
        }
    }

    pub fn result_path(&self) -> ResultPath {
        let key = "ResultPath";
        match self.get(key) {
            None => ResultPath::Replace,
            Some(Value::Null) => ResultPath::Discard,
            Some(_) => match self.path(key) {
                None => ResultPath::Replace,
                Some(path) if path.is_whole_input() => ResultPath::Replace,
                Some(path) if path.is_reference() => ResultPath::At(path),
                Some(path) => {
                    self.fault(key, format!("Value is not a Reference Path: {path}"));
                    ResultPath::Replace
                }
            },
        }
    }

    pub fn template(&self, key: &str) -> Option<Template> {
        let value = self.get(key)?;
        Some(template::compile(self.reading, value, key, &self.at(key), self.language))
    }

    /// `Assign`: an object whose names are variables.
    pub fn assign(&self) -> Option<Template> {
        let key = "Assign";
        let value = self.get(key)?;
        let Value::Object(map) = value else {
            self.fault(key, "Expected value of type Object");
            return None;
        };
        for name in map.keys() {
            let bare = match self.language {
                QueryLanguage::JsonPath => name.strip_suffix(".$").unwrap_or(name),
                QueryLanguage::Jsonata => name,
            };
            if let Err(why) = template::check_variable_name(bare) {
                self.reading.schema(why, &join(&self.at(key), name));
            }
        }
        self.template(key)
    }

    /// An expression of JSONata in a string that consists of nothing else.
    pub fn jsonata(&self, key: &str, text: &str) -> Option<Jsonata> {
        let inner = Jsonata::enclosed(text)?;
        match Jsonata::parse(inner) {
            Ok(jsonata) => Some(jsonata),
            Err(why) => {
                self.fault(
                    key,
                    format!("The value for the field '{key}' must be a valid JSONata expression: {why}"),
                );
                None
            }
        }
    }

    /// A scalar that stands in the definition, in a `…Path` twin, or in an expression. `check` judges a literal.
    pub fn setting(&self, key: &str, check: impl Fn(&Self, &str)) -> Option<Setting> {
        let twin = format!("{key}Path");
        if !self.is_jsonata() {
            self.one_of(&[key, &twin], false);
            if self.has(&twin) {
                return self.path_setting(&twin);
            }
        }
        let value = self.get(key)?;
        let field = key.to_owned();
        if let (true, Value::String(text)) = (self.is_jsonata(), value)
            && Jsonata::enclosed(text).is_some()
        {
            let jsonata = self.jsonata(key, text)?;
            return Some(Setting { field, source: Source::Expr(Expr::Jsonata(jsonata)) });
        }
        check(self, key);
        Some(Setting { field, source: Source::Literal(value.clone()) })
    }

    fn path_setting(&self, twin: &str) -> Option<Setting> {
        let text = self.string(twin)?;
        let expr = if text.starts_with("States.") && matches!(twin, "ErrorPath" | "CausePath") {
            match crate::Call::parse(&text) {
                Ok(call) => Expr::Intrinsic(call),
                Err(why) => {
                    self.fault(twin, format!("The value for the field '{twin}' must be a valid JSONPath or a valid intrinsic function call: {why}"));
                    return None;
                }
            }
        } else {
            Expr::Path(self.path(twin)?)
        };
        Some(Setting { field: twin.to_owned(), source: Source::Expr(expr) })
    }

    pub fn check_timestamp(&self, key: &str) {
        match self.get(key) {
            Some(Value::String(text)) if parse_timestamp_ms(text).is_some() => {}
            Some(Value::String(_)) => self.fault(key, "String does not match RFC3339 timestamp"),
            _ => self.fault(key, "Expected value of type String"),
        }
    }
}
