//! What the JSON Schema has against a definition, in words a person can act on.
//!
//! A choice (`oneOf`, `anyOf`) is explained by the branch that was meant, never by listing them all.

use crate::fault::{Fault, Faults, Places, child};
use crate::{schema, suggest};
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;
use std::collections::BTreeSet;

/// All that the schema refuses, and the pointers of the keys that it does not know.
pub(crate) fn explain(value: &Value, places: &Places) -> (Faults, Vec<String>) {
    let validator = match schema::validator() {
        Ok(validator) => validator,
        Err(why) => {
            let fault = places.fault_at("", format!("the definition's schema is broken: {why}"), None);
            return (fault.into(), Vec::new());
        }
    };
    let mut explainer = Explainer { value, places, faults: Faults::default(), unknown: Vec::new() };
    let errors: Vec<_> = validator.iter_errors(value).collect();
    explainer.errors(&errors);
    (explainer.faults, explainer.unknown)
}

/// More than anybody reads; keeps the answer to arbitrary bytes small.
const MAX_FAULTS: usize = 1_000;

struct Explainer<'a> {
    value: &'a Value,
    places: &'a Places,
    faults: Faults,
    unknown: Vec<String>,
}

impl Explainer<'_> {
    fn errors(&mut self, errors: &[ValidationError<'_>]) {
        // A unit says more than the pattern and bounds that stand beside it for editors.
        let units: BTreeSet<_> = errors
            .iter()
            .filter(|error| matches!(error.kind(), ValidationErrorKind::Custom { .. }))
            .map(|error| error.instance_path().as_str().to_string())
            .collect();
        // So does a list of words beside the type `string`.
        let words: BTreeSet<_> = errors
            .iter()
            .filter(|error| matches!(error.kind(), ValidationErrorKind::Enum { .. }))
            .map(|error| error.instance_path().as_str().to_string())
            .collect();
        for error in errors {
            let at = error.instance_path().as_str();
            let told = match error.kind() {
                ValidationErrorKind::Custom { .. } => false,
                ValidationErrorKind::Type { .. } => units.contains(at) || words.contains(at),
                _ => units.contains(at),
            };
            if !told && self.faults.0.len() < MAX_FAULTS {
                self.error(error);
            }
        }
    }

    fn error(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str().to_string();
        let found = self.value.pointer(&at).unwrap_or(&Value::Null);
        match error.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                let allowed = allowed_keys(error);
                for key in unexpected {
                    self.unknown_key(&at, key, &allowed);
                }
            }
            // A mapping that has no keys at all says so of each value, without its name.
            ValidationErrorKind::FalseSchema => {
                for key in found.as_object().into_iter().flat_map(|map| map.keys()) {
                    self.unknown_key(&at, key, &[]);
                }
            }
            ValidationErrorKind::Required { property } => {
                let key = property.as_str().unwrap_or_default();
                let message = format!("`{key}` is missing");
                self.faults.push(self.places.fault_missing(&child(&at, key), message));
            }
            ValidationErrorKind::Type { kind } => {
                self.wrong_type(&at, found, types_of(kind));
            }
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
                self.wrong_word(&at, found, options.iter().filter_map(Value::as_str).collect());
            }
            ValidationErrorKind::Constant { expected_value } => {
                self.wrong_word(&at, found, expected_value.as_str().into_iter().collect());
            }
            ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
                self.choice(&at, found, context);
            }
            ValidationErrorKind::Custom { message, .. } => {
                self.faults.push(self.places.fault_at(&at, message.clone(), None));
            }
            ValidationErrorKind::MinItems { .. } => {
                self.faults.push(self.places.fault_at(&at, "the list is empty", None));
            }
            ValidationErrorKind::Minimum { limit } => {
                let message = format!("{found} is too small: at least {limit} was expected");
                self.faults.push(self.places.fault_at(&at, message, None));
            }
            ValidationErrorKind::Maximum { limit } => {
                let message = format!("{found} is too large: at most {limit} was expected");
                self.faults.push(self.places.fault_at(&at, message, None));
            }
            _ => {
                self.faults.push(self.places.fault_at(&at, error.to_string(), None));
            }
        }
    }

    /// The value; of a resolved reference, what is written.
    fn shown(&self, at: &str, found: &Value) -> String {
        match self.places.references.get(at).and_then(|parts| parts.first()) {
            Some((written, _)) => format!("`{written}`"),
            None => shown(found),
        }
    }

    fn unknown_key(&mut self, at: &str, key: &str, allowed: &[String]) {
        let hint = suggest::hint(key, allowed.iter().map(String::as_str));
        self.unknown.push(child(at, key));
        let fault = self.places.fault_at_key(&child(at, key), format!("unknown key `{key}`"), hint);
        self.faults.push(fault);
    }

    fn wrong_word(&mut self, at: &str, found: &Value, options: Vec<&str>) {
        let message =
            format!("{} is not one of {}", self.shown(at, found), suggest::listed(options.iter().copied()));
        let hint = match found {
            Value::String(text) => {
                suggest::nearest(text, options.iter().copied()).map(|name| format!("did you mean `{name}`?"))
            }
            other => quote_hint(other, &options),
        };
        self.faults.push(self.places.fault_at(at, message, hint));
    }

    fn wrong_type(&mut self, at: &str, found: &Value, expected: BTreeSet<&'static str>) {
        let names: Vec<_> = expected.iter().copied().collect();
        let message = format!("expected {}, found {}", names.join(" or "), self.shown(at, found));
        let hint = match found {
            Value::Number(_) | Value::Bool(_) if expected.contains("text") => {
                Some(format!("write it in quotes: \"{found}\""))
            }
            _ => None,
        };
        self.faults.push(self.places.fault_at(at, message, hint));
    }

    fn choice(&mut self, at: &str, found: &Value, branches: &[Vec<ValidationError<'static>>]) {
        let here = |error: &ValidationError<'_>| error.instance_path().as_str() == at;
        if let Some(words) = words_of(branches, at) {
            return self.wrong_word(at, found, words.iter().map(String::as_str).collect());
        }
        // A mapping was never meant to be a word.
        let nested = found.is_object() || found.is_array();
        let fitting: Vec<_> = branches
            .iter()
            .filter(|branch| !(nested && words_of(std::slice::from_ref(*branch), at).is_some()))
            .filter(|branch| {
                !branch
                    .iter()
                    .any(|error| here(error) && matches!(error.kind(), ValidationErrorKind::Type { .. }))
            })
            .collect();
        match fitting.as_slice() {
            [] => {
                let kinds = branches.iter().flatten().filter(|error| here(error)).filter_map(|error| {
                    match error.kind() {
                        ValidationErrorKind::Type { kind } => Some(types_of(kind)),
                        _ => None,
                    }
                });
                self.wrong_type(at, found, kinds.flatten().filter(|name| *name != "nothing").collect());
            }
            [branch] => self.errors(branch),
            _ => self.tagged(at, found, &fitting),
        }
    }

    /// Branches that each want one key: `http: {}` or `files: {…}`.
    fn tagged(&mut self, at: &str, found: &Value, branches: &[&Vec<ValidationError<'static>>]) {
        let wants = |branch: &Vec<ValidationError<'static>>| {
            branch.iter().find_map(|error| match error.kind() {
                ValidationErrorKind::Required { property } if error.instance_path().as_str() == at => {
                    property.as_str().map(str::to_string)
                }
                _ => None,
            })
        };
        if let Some(branch) = branches.iter().find(|branch| wants(branch).is_none()) {
            return self.errors(branch);
        }
        let wanted: Vec<String> = branches.iter().filter_map(|branch| wants(branch)).collect();
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let keys: Vec<_> = found.as_object().into_iter().flat_map(|map| map.keys()).collect();
        if keys.is_empty() {
            let message = format!("expected one of {}", suggest::listed(wanted.iter().copied()));
            self.faults.push(self.places.fault_at(at, message, None));
        }
        for key in keys {
            let message =
                format!("unknown key `{key}`: expected {}", suggest::listed(wanted.iter().copied()));
            let hint =
                suggest::nearest(key, wanted.iter().copied()).map(|name| format!("did you mean `{name}`?"));
            self.faults.push(self.places.fault_at_key(&child(at, key), message, hint));
        }
    }
}

/// The words of a choice that is one between constants.
fn words_of(branches: &[Vec<ValidationError<'static>>], at: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for branch in branches {
        let mut constant = false;
        for error in branch.iter().filter(|error| error.instance_path().as_str() == at) {
            match error.kind() {
                ValidationErrorKind::Constant { expected_value } => {
                    words.extend(expected_value.as_str().map(str::to_string));
                    constant = true;
                }
                ValidationErrorKind::Enum { options } => {
                    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
                    words.extend(options.iter().filter_map(Value::as_str).map(str::to_string));
                    constant = true;
                }
                ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
                    words.extend(words_of(context, at)?);
                    constant = true;
                }
                _ => {}
            }
        }
        let only_null = branch.iter().any(|error| {
            matches!(error.kind(), ValidationErrorKind::Type { kind } if types_of(kind) == BTreeSet::from(["nothing"]))
        });
        if !constant && !only_null {
            return None;
        }
    }
    (!words.is_empty()).then_some(words)
}

/// The keys that the schema beside an `additionalProperties` allows.
fn allowed_keys(error: &ValidationError<'_>) -> Vec<String> {
    let location = error.schema_path().as_str();
    let parent = location.rsplit_once('/').map_or("", |(parent, _)| parent);
    let schema = schema::shared();
    // The path may lead through references; what is behind the last one is a definition.
    let node = schema.pointer(parent).or_else(|| resolve(schema, error.evaluation_path().as_str()));
    node.and_then(|node| node.get("properties"))
        .and_then(Value::as_object)
        .map(|properties| properties.keys().cloned().collect())
        .unwrap_or_default()
}

/// Follows an evaluation path, which goes through `$ref` as through a key, to the schema around its last keyword.
fn resolve<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let parts: Vec<_> = path.split('/').skip(1).collect();
    let mut node = root;
    for part in parts.iter().take(parts.len().saturating_sub(1)) {
        node = match *part {
            "$ref" => root.pointer(node.get("$ref")?.as_str()?.strip_prefix('#')?)?,
            part => {
                let key = part.replace("~1", "/").replace("~0", "~");
                match node {
                    Value::Array(items) => items.get(key.parse::<usize>().ok()?)?,
                    node => node.get(&key)?,
                }
            }
        };
    }
    Some(node)
}

fn types_of(kind: &TypeKind) -> BTreeSet<&'static str> {
    match kind {
        TypeKind::Single(kind) => BTreeSet::from([type_name(*kind)]),
        TypeKind::Multiple(kinds) => kinds.iter().map(type_name).filter(|name| *name != "nothing").collect(),
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "a list",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "nothing",
        JsonType::Number => "a number",
        JsonType::Object => "a mapping",
        JsonType::String => "text",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(value) => format!("`{value}`"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => {
            let cut: String = text.chars().take(100).collect();
            if cut.len() < text.len() { format!("`{cut}…`") } else { format!("`{cut}`") }
        }
        Value::Array(_) => "a list".into(),
        Value::Object(_) => "a mapping".into(),
    }
}

fn quote_hint(found: &Value, options: &[&str]) -> Option<String> {
    let text = found.to_string();
    options.contains(&text.as_str()).then(|| format!("write it in quotes: \"{text}\""))
}

/// A fault of a value that the schema accepts and the types do not.
pub(crate) fn undecodable(error: &serde_json::Error, places: &Places) -> Fault {
    places.fault_at("", format!("the definition cannot be understood: {error}"), None)
}
