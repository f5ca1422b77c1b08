//! Reading YAML: the part of it that is JSON with another spelling. Anchors, aliases and tags are refused.

use super::{Document, INVALID_JSON, JSON_DEPTH_MAX, Place, join, too_deep};
use crate::Diagnostic;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use saphyr_parser::{Event, Parser, ScanError};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// Whether the text is YAML whose whole is a mapping.
pub(super) fn is_mapping(text: &str) -> bool {
    text.lines().map(str::trim_start).any(|line| !line.starts_with('#') && line.contains(':'))
}

pub(super) fn read(text: &str) -> Result<Document, Vec<Diagnostic>> {
    scan(text)?;
    let documents = MarkedYaml::load_from_str(text).map_err(|e| vec![not_yaml(&e)])?;
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

fn not_yaml(error: &ScanError) -> Diagnostic {
    let (line, column) = (error.marker().line(), error.marker().col() + 1);
    Diagnostic::error(INVALID_JSON, format!("Not YAML: {}", error.info()), located(line, column))
}

/// What must not reach the reader that builds values: it recurses, and it writes aliases out, which a few lines can
/// make endless.
fn scan(text: &str) -> Result<(), Vec<Diagnostic>> {
    let mut depth = 0usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| vec![not_yaml(&e)])?;
        match event {
            Event::Alias(_) => {
                let at = located(span.start.line(), span.start.col() + 1);
                return Err(vec![Diagnostic::error(INVALID_JSON, NO_ALIASES, at)]);
            }
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return Err(vec![too_deep("/")]);
        }
    }
    Ok(())
}

const NO_ALIASES: &str = "Anchors, aliases and tags are not part of a definition; write the value out";

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
