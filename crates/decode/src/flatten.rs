//! Folding `$ref`, `allOf` and "or null" into one map of keywords.

use crate::options::Draft;
use crate::order::ORDER;
use crate::plan::Types;
use crate::refs::resolve;
use serde_json::{Map, Value, json};

/// Keywords that never refuse a value, in any draft.
pub(crate) const ANNOTATIONS: [&str; 15] = [
    "$schema",
    "$id",
    "id",
    "$comment",
    "$defs",
    "definitions",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$anchor",
    ORDER,
];

/// Whether a keyword never refuses a value. `x-…` keywords are the user's own.
pub(crate) fn is_annotation(keyword: &str) -> bool {
    ANNOTATIONS.contains(&keyword) || keyword.starts_with("x-")
}

pub(crate) struct Flat {
    pub map: Map<String, Value>,
    /// The map says all that the schema says. If not, each of its keywords still holds.
    pub exact: bool,
    /// Null is valid whatever the map says.
    pub or_null: bool,
    /// The references on the way, to notice recursion.
    pub refs: Vec<String>,
    /// A reference leads back to a schema that is being flattened.
    pub recursive: bool,
}

pub(crate) struct Flattener<'a> {
    pub root: &'a Value,
    pub draft: Draft,
    /// `#/…` means the same everywhere in the document.
    pub plain_refs: bool,
}

impl Flattener<'_> {
    pub fn flatten(&self, map: &Map<String, Value>, refs: &[String]) -> Flat {
        let mut flat =
            Flat { map: map.clone(), exact: true, or_null: false, refs: refs.to_vec(), recursive: false };
        if let Some(Value::String(reference)) = map.get("$ref") {
            self.follow(reference, &mut flat);
        }
        if let Some(Value::Array(branches)) = flat.map.remove("allOf") {
            for branch in &branches {
                self.fold(branch, &mut flat);
            }
        }
        self.or_null(&mut flat);
        flat
    }

    fn follow(&self, reference: &str, flat: &mut Flat) {
        flat.map.remove("$ref");
        if !self.draft.ref_has_siblings() {
            flat.map.clear();
        }
        if flat.refs.iter().any(|passed| passed == reference) {
            flat.recursive = true;
            flat.exact = false;
            return;
        }
        match self.plain_refs.then(|| resolve(self.root, reference)).flatten() {
            Some(target) => {
                flat.refs.push(reference.to_owned());
                self.fold(target, flat);
            }
            None => flat.exact = false,
        }
    }

    /// Folds another schema that the value must satisfy too.
    fn fold(&self, schema: &Value, flat: &mut Flat) {
        let map = match schema {
            Value::Bool(true) => return,
            Value::Object(map) => map,
            _ => {
                flat.exact = false;
                return;
            }
        };
        let other = self.flatten(map, &flat.refs);
        flat.recursive |= other.recursive;
        flat.refs = other.refs;
        flat.exact &= other.exact;
        if other.or_null {
            if flat.map.keys().all(|key| is_annotation(key)) {
                flat.or_null = true;
            } else {
                flat.exact = false;
                return;
            }
        }
        flat.exact &= merge(&mut flat.map, other.map);
    }

    /// `anyOf: [X, {type: null}]`, in either order and also as `oneOf` where X cannot be null.
    fn or_null(&self, flat: &mut Flat) {
        for keyword in ["anyOf", "oneOf"] {
            let alone = flat.map.keys().all(|key| key == keyword || is_annotation(key));
            let Some(Value::Array(branches)) = flat.map.get(keyword) else { continue };
            let null = branches.iter().position(|branch| *branch == json!({"type": "null"}));
            let (Some(null), 2, true) = (null, branches.len(), alone) else { continue };
            let Value::Object(branch) = branches[1 - null].clone() else { continue };
            let inner = self.flatten(&branch, &flat.refs);
            let excludes_null = types_of(&inner.map).is_some_and(|types| !types.has(Types::NULL));
            if inner.recursive || inner.or_null || !inner.exact || (keyword == "oneOf" && !excludes_null) {
                continue;
            }
            flat.map.remove(keyword);
            flat.refs = inner.refs;
            flat.or_null = true;
            flat.exact &= merge(&mut flat.map, inner.map);
            return;
        }
    }
}

/// The types that `type` names; `None` without a usable `type`.
pub(crate) fn types_of(map: &Map<String, Value>) -> Option<Types> {
    match map.get("type")? {
        Value::String(name) => Types::named(name),
        Value::Array(names) => {
            names.iter().try_fold(Types::NONE, |types, name| Some(types.with(Types::named(name.as_str()?)?)))
        }
        _ => None,
    }
}

/// Adds `b`'s keywords to `a`: true if the result says all that both say.
fn merge(a: &mut Map<String, Value>, b: Map<String, Value>) -> bool {
    let mut exact = true;
    // What counts as additional depends on the properties beside it, so it only survives alone.
    for keyword in ["additionalProperties", "patternProperties"] {
        let matters = |map: &Map<String, Value>| map.get(keyword).is_some_and(|value| *value != json!(true));
        let others = |map: &Map<String, Value>| map.contains_key("properties");
        if (matters(a) && others(&b)) || (matters(&b) && (others(a) || matters(a))) {
            a.remove(keyword);
            exact = false;
        }
    }
    for (keyword, value) in b {
        let Some(mine) = a.get_mut(&keyword) else {
            if exact || !matches!(keyword.as_str(), "additionalProperties" | "patternProperties") {
                a.insert(keyword, value);
            }
            continue;
        };
        if *mine == value || (is_annotation(&keyword) && keyword != ORDER) {
            continue;
        }
        match (keyword.as_str(), mine, value) {
            ("type", mine, value) => exact &= merge_types(mine, &value),
            ("required" | ORDER, Value::Array(mine), Value::Array(more)) => {
                for name in more {
                    if !mine.contains(&name) {
                        mine.push(name);
                    }
                }
            }
            ("properties", Value::Object(mine), Value::Object(more)) => {
                for (name, schema) in more {
                    match mine.get_mut(&name) {
                        Some(one) => *one = json!({"allOf": [one.take(), schema]}),
                        None => drop(mine.insert(name, schema)),
                    }
                }
            }
            _ => exact = false,
        }
    }
    exact
}

fn merge_types(mine: &mut Value, other: &Value) -> bool {
    let types = |value: &Value| types_of(&Map::from_iter([("type".to_owned(), value.clone())]));
    let (Some(a), Some(b)) = (types(mine), types(other)) else { return false };
    let both = a.both(b);
    let names: Vec<_> = Types::NAMED
        .iter()
        .filter(|(name, types)| {
            both.has(*types) && !(*name == "integer" && both.has(Types::NUMBER)) && types.0 != 0
        })
        .map(|(name, _)| Value::from(*name))
        .collect();
    if names.is_empty() {
        return false;
    }
    *mine = Value::Array(names);
    true
}
