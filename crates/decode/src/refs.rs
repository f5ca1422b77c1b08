//! `$ref`: where references lead, which leave the document, and which circle without consuming anything.

use crate::options::SchemaFault;
use crate::order::{SCHEMA_MAPS, SCHEMAS};
use crate::pointer::push_token;
use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Keywords whose schemas judge the same value as the schema they stand in.
const IN_PLACE: [&str; 7] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else"];

/// The schema a `#/…` reference leads to.
pub(crate) fn resolve<'a>(root: &'a Value, reference: &str) -> Option<&'a Value> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.is_empty() {
        return Some(root);
    }
    if !fragment.starts_with('/') {
        return None;
    }
    root.pointer(&percent_decoded(fragment)?)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first == b'%' {
            let code = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(code, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What the walk over a schema's subschemas finds.
#[derive(Default)]
pub(crate) struct Survey {
    /// Pointer and target of each `$ref`.
    pub refs: Vec<(String, String)>,
    /// Base URIs and anchors that the document defines itself.
    ids: HashSet<String>,
    /// A subschema changes the base URI or the dialect, so `#/…` may mean something else there.
    pub rebased: bool,
    /// Steps from a schema to those that judge the same value, by pointer.
    in_place: HashMap<String, Vec<String>>,
}

impl Survey {
    pub fn of(root: &Value) -> Self {
        let mut survey = Self::default();
        survey.visit(root, &mut String::new());
        survey
    }

    fn visit(&mut self, schema: &Value, pointer: &mut String) {
        let Value::Object(map) = schema else { return };
        for key in ["$id", "id", "$anchor", "$dynamicAnchor"] {
            if let Some(Value::String(id)) = map.get(key) {
                self.ids.insert(id.trim_end_matches('#').to_owned());
                self.rebased |= !pointer.is_empty() && key.ends_with("id");
            }
        }
        self.rebased |= !pointer.is_empty() && map.contains_key("$schema");
        if let Some(Value::String(target)) = map.get("$ref") {
            self.refs.push((format!("{pointer}/$ref"), target.clone()));
            if let Some(to) = target.strip_prefix('#').and_then(percent_decoded) {
                self.in_place.entry(pointer.clone()).or_default().push(to);
            }
        }
        let length = pointer.len();
        for (key, value) in map {
            pointer.push('/');
            push_token(pointer, key);
            let in_place = IN_PLACE.contains(&key.as_str());
            match value {
                Value::Object(inner) if SCHEMA_MAPS.contains(&key.as_str()) => {
                    for (name, schema) in inner {
                        self.descend(schema, pointer, name, None);
                    }
                }
                Value::Array(items) if SCHEMAS.contains(&key.as_str()) => {
                    for (index, schema) in items.iter().enumerate() {
                        self.descend(schema, pointer, &index.to_string(), in_place.then_some(length));
                    }
                }
                Value::Object(_) if SCHEMAS.contains(&key.as_str()) => {
                    if in_place {
                        self.step(pointer, length);
                    }
                    self.visit(value, pointer);
                }
                _ => {}
            }
            pointer.truncate(length);
        }
    }

    fn descend(&mut self, schema: &Value, pointer: &mut String, token: &str, in_place_of: Option<usize>) {
        let length = pointer.len();
        pointer.push('/');
        push_token(pointer, token);
        if let Some(parent) = in_place_of {
            self.step(pointer, parent);
        }
        self.visit(schema, pointer);
        pointer.truncate(length);
    }

    fn step(&mut self, pointer: &str, parent: usize) {
        self.in_place.entry(pointer[..parent].to_owned()).or_default().push(pointer.to_owned());
    }

    /// References that this document cannot answer, and circles that consume nothing.
    pub fn faults(&self, root: &Value) -> Vec<SchemaFault> {
        let mut faults = Vec::new();
        for (pointer, target) in &self.refs {
            let base = target.split('#').next().unwrap_or_default();
            if base.is_empty() {
                let lost = target.starts_with("#/") && !self.rebased && resolve(root, target).is_none();
                if lost {
                    let message = format!("the $ref {target:?} leads nowhere");
                    faults.push(SchemaFault::new(pointer, message, "define it under $defs"));
                }
            } else if !self.defines(base) {
                let message = format!("the $ref {target:?} leaves the document, and nothing is fetched");
                let hint = "copy the schema under $defs and refer to it as #/$defs/<name>";
                faults.push(SchemaFault::new(pointer, message, hint));
            }
        }
        let mut done = HashSet::new();
        for start in self.in_place.keys() {
            if let Some(at) = self.circle(start, &mut Vec::new(), &mut done) {
                let message = format!("the $ref circles back to {at:?} without consuming anything");
                let hint = "put a level between, such as a property or items";
                faults.push(SchemaFault::new(at, message, hint));
            }
        }
        faults
    }

    /// Whether the document itself, or the judge, knows this URI. With several bases in the document the
    /// judge decides.
    fn defines(&self, base: &str) -> bool {
        crate::options::Draft::of_uri(base).is_some()
            || base.starts_with("https://json-schema.org/draft/")
            || self.ids.contains(base)
            || self.ids.iter().any(|id| id.ends_with(base) || base.ends_with(id.as_str()))
    }

    fn circle(&self, at: &str, path: &mut Vec<String>, done: &mut HashSet<String>) -> Option<String> {
        if path.iter().any(|passed| passed == at) {
            return Some(at.to_owned());
        }
        if !done.insert(at.to_owned()) {
            return None;
        }
        path.push(at.to_owned());
        let found =
            self.in_place.get(at).and_then(|next| next.iter().find_map(|to| self.circle(to, path, done)));
        path.pop();
        found
    }
}
