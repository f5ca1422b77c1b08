//! Reading YAML: the part of it that is JSON with another spelling. Anchors, aliases and tags are refused.

use super::{Document, INVALID_JSON, JSON_DEPTH_MAX, Place, join, too_deep};
use crate::Diagnostic;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// Whether the text is YAML whose whole is a mapping.
pub(super) fn is_mapping(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| !line.starts_with('#') && line.contains(':'))
}

pub(super) fn read(text: &str) -> Result<Document, Vec<Diagnostic>> {
    if nests_deeply(text) {
        return Err(vec![too_deep("/")]);
    }
    let documents = MarkedYaml::load_from_str(text).map_err(|e| {
        let (line, column) = (e.marker().line(), e.marker().col() + 1);
        vec![Diagnostic::error(INVALID_JSON, format!("Not YAML: {}", e.info()), located(line, column))]
    })?;
    let [root] = documents.as_slice() else {
        return Err(vec![Diagnostic::error(
            INVALID_JSON,
            "Expected exactly one YAML document",
            located(1, 1),
        )]);
    };
    let mut reader = Reader { places: BTreeMap::new(), faults: Vec::new() };
    reader.places.insert(String::new(), spot(root));
    let value = reader.value(root, "", 1);
    if reader.faults.is_empty() { Ok(Document { value, places: reader.places }) } else { Err(reader.faults) }
}

/// The YAML reader recurses; flow brackets and indentation are what nests.
fn nests_deeply(text: &str) -> bool {
    let (mut flow, mut deepest) = (0usize, 0usize);
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches([' ', '-']).len();
        deepest = deepest.max(indent / 2);
        for c in line.chars() {
            match c {
                '[' | '{' => flow += 1,
                ']' | '}' => flow = flow.saturating_sub(1),
                _ => {}
            }
        }
        deepest = deepest.max(flow);
    }
    deepest > JSON_DEPTH_MAX * 10
}

fn located(line: usize, column: usize) -> String {
    format!("[Source: (String); line: {line}, column: {column}]")
}

fn spot(node: &MarkedYaml<'_>) -> Place {
    Place { line: node.span.start.line(), column: node.span.start.col() + 1 }
}

struct Reader {
    places: BTreeMap<String, Place>,
    faults: Vec<Diagnostic>,
}

impl Reader {
    fn value(&mut self, node: &MarkedYaml<'_>, pointer: &str, depth: usize) -> Value {
        if depth > JSON_DEPTH_MAX {
            self.faults.push(too_deep(pointer));
            return Value::Null;
        }
        match &node.data {
            YamlData::Value(scalar) => self.scalar(scalar, node),
            YamlData::Sequence(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let child = join(pointer, &index.to_string());
                    self.places.insert(child.clone(), spot(item));
                    list.push(self.value(item, &child, depth + 1));
                }
                Value::Array(list)
            }
            YamlData::Mapping(mapping) => {
                let mut object = Map::new();
                for (key, value) in mapping {
                    let Some(name) = self.key(key) else { continue };
                    let child = join(pointer, &name);
                    self.places.insert(child.clone(), spot(key));
                    let value = self.value(value, &child, depth + 1);
                    object.insert(name, value);
                }
                Value::Object(object)
            }
            _ => {
                self.fault(
                    node,
                    "Anchors, aliases and tags are not part of a definition; write the value out",
                );
                Value::Null
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar<'_>, node: &MarkedYaml<'_>) -> Value {
        match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(b) => Value::Bool(*b),
            Scalar::Integer(n) => Value::Number((*n).into()),
            Scalar::FloatingPoint(n) => match Number::from_f64(**n) {
                Some(number) => Value::Number(number),
                None => {
                    self.fault(node, "A number must be finite");
                    Value::Null
                }
            },
            Scalar::String(text) => Value::String(text.clone().into_owned()),
        }
    }

    fn key(&mut self, key: &MarkedYaml<'_>) -> Option<String> {
        match &key.data {
            YamlData::Value(Scalar::String(text)) => Some(text.clone().into_owned()),
            YamlData::Value(Scalar::Integer(n)) => Some(n.to_string()),
            YamlData::Value(Scalar::Boolean(b)) => Some(b.to_string()),
            YamlData::Value(Scalar::Null) => Some("null".to_owned()),
            _ => {
                self.fault(key, "A key must be a text");
                None
            }
        }
    }

    fn fault(&mut self, node: &MarkedYaml<'_>, message: &str) {
        let place = spot(node);
        self.faults.push(Diagnostic::error(INVALID_JSON, message, located(place.line, place.column)));
    }
}
