//! YAML into a tree whose every node knows its place.
//!
//! The tree is built from the parser's events, without recursion, within three limits that keep
//! arbitrary bytes harmless: [`MAX_BYTES`], [`MAX_DEPTH`] and [`MAX_NODES`] (aliases count with
//! all they stand for).

use crate::fault::{Fault, Faults, Mark, Place, Places, child};
use saphyr::Scalar;
use saphyr_parser::{Event, Marker, Parser};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Largest definition in bytes.
pub(crate) const MAX_BYTES: usize = 1 << 20;
/// Deepest nesting of mappings and lists. A definition needs about 8.
pub(crate) const MAX_DEPTH: usize = 64;
/// Most values in a definition.
pub(crate) const MAX_NODES: usize = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub mark: Mark,
    /// Index of its file in [`Places`].
    pub file: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar(Value),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub key: String,
    pub mark: Mark,
    pub value: Node,
}

/// Parses one document. Duplicate keys are faults, of which the first value is kept, so that what
/// else is wrong can be told too.
pub(crate) fn parse(text: &str, file_name: &str, file: usize) -> (Option<Node>, Faults) {
    let mut builder = Builder {
        file,
        file_name,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        faults: Faults::default(),
    };
    if text.len() > MAX_BYTES {
        builder.fault((0, 0), format!("the file is larger than {MAX_BYTES} bytes"), None);
        return (None, builder.faults);
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => {
                if !builder.take(event, span.start) {
                    return (None, builder.faults);
                }
            }
            Err(error) => {
                let hint = (error.info().contains("tab")).then(|| "indent with spaces".to_string());
                builder.fault(mark(error.marker()), format!("not valid YAML: {}", error.info()), hint);
                return (None, builder.faults);
            }
        }
    }
    (builder.root, builder.faults)
}

fn mark(marker: &Marker) -> Mark {
    (marker.line(), marker.col() + 1)
}

/// A mapping or list that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    key: Option<(String, Mark)>,
    /// The keys it has, and where.
    keys: HashMap<String, Mark>,
    /// How many nodes were counted when it was opened.
    size_before: usize,
}

struct Builder<'a> {
    file: usize,
    file_name: &'a str,
    open: Vec<Open>,
    root: Option<Node>,
    /// By the parser's number: the node, and how many nodes it is.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    faults: Faults,
}

impl Builder<'_> {
    fn fault(&mut self, (line, column): Mark, message: String, hint: Option<String>) {
        let file = self.file_name.to_string();
        self.faults.push(Fault { file, line, column, path: String::new(), message, hint });
    }

    /// False if the rest of the document cannot be understood.
    fn take(&mut self, event: Event<'_>, marker: Marker) -> bool {
        let at = mark(&marker);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => {
                self.fault(at, "a second document: a definition is one YAML document".into(), None);
                false
            }
            Event::Scalar(text, style, anchor, tag) => {
                let Some(scalar) = Scalar::parse_from_cow_and_metadata(text, style, tag.as_ref()) else {
                    self.fault(at, "the value does not fit its tag".into(), Some("leave the tag out".into()));
                    return false;
                };
                let node = self.node(at, Kind::Scalar(json(scalar)));
                self.close(node, anchor, (1, 1), at)
            }
            Event::SequenceStart(anchor, _) => self.enter(at, Kind::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.enter(at, Kind::Mapping(Vec::new()), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let size = self.nodes - open.size_before + 1;
                    self.close(open.node, open.anchor, (size, 1), at)
                }
                None => false,
            },
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => true,
        }
    }

    fn node(&self, mark: Mark, kind: Kind) -> Node {
        Node { mark, file: self.file, kind }
    }

    fn enter(&mut self, at: Mark, kind: Kind, anchor: usize) -> bool {
        if self.open.len() >= MAX_DEPTH {
            self.fault(at, format!("nested more than {MAX_DEPTH} deep"), None);
            return false;
        }
        let node = self.node(at, kind);
        self.open.push(Open { node, anchor, key: None, keys: HashMap::new(), size_before: self.nodes });
        true
    }

    fn alias(&mut self, anchor: usize, at: Mark) -> bool {
        let size = self.anchors.get(&anchor).map(|(node, size)| (*size, depth(node)));
        let Some((size, depth)) = size else {
            self.fault(at, "an alias of something that is not complete".into(), None);
            return false;
        };
        if self.nodes + size > MAX_NODES || self.open.len() + depth > MAX_DEPTH {
            self.fault(
                at,
                format!("aliases make more than {MAX_NODES} values, or nest more than {MAX_DEPTH} deep"),
                None,
            );
            return false;
        }
        match self.anchors.get(&anchor).map(|(node, _)| node.clone()) {
            Some(node) => self.close(Node { mark: at, ..node }, 0, (size, size), at),
            None => false,
        }
    }

    /// Puts a complete node of `size` nodes, of which `added` are not counted yet, where it belongs.
    fn close(&mut self, node: Node, anchor: usize, (size, added): (usize, usize), at: Mark) -> bool {
        self.nodes += added;
        if self.nodes > MAX_NODES {
            self.fault(at, format!("more than {MAX_NODES} values"), None);
            return false;
        }
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let duplicate = match self.open.last_mut() {
            None => {
                self.root = Some(node);
                None
            }
            Some(Open { node: Node { kind: Kind::List(items), .. }, .. }) => {
                items.push(node);
                None
            }
            Some(Open { node: Node { kind: Kind::Mapping(entries), .. }, key, keys, .. }) => match key.take()
            {
                None => match key_of(&node) {
                    Some(name) => {
                        *key = Some((name, node.mark));
                        None
                    }
                    None => {
                        self.fault(at, "a key must be plain text".into(), None);
                        return false;
                    }
                },
                Some((name, mark)) => match keys.get(&name) {
                    Some(first) => Some((name, mark, *first)),
                    None => {
                        keys.insert(name.clone(), mark);
                        entries.push(Entry { key: name, mark, value: node });
                        None
                    }
                },
            },
            Some(_) => return false,
        };
        if let Some((name, mark, first)) = duplicate {
            let message = format!("the key `{name}` comes twice; it is first at {}:{}", first.0, first.1);
            self.fault(mark, message, Some("keep one of them".into()));
        }
        true
    }
}

fn depth(node: &Node) -> usize {
    match &node.kind {
        Kind::Scalar(_) => 0,
        Kind::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Kind::Mapping(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    }
}

/// Keys are text; numbers and booleans are taken as they are written.
fn key_of(node: &Node) -> Option<String> {
    match &node.kind {
        Kind::Scalar(Value::String(text)) => Some(text.clone()),
        Kind::Scalar(value) => Some(value.to_string()),
        _ => None,
    }
}

fn json(scalar: Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(value) => Value::Bool(value),
        Scalar::Integer(value) => value.into(),
        // JSON has no infinities: as text they get the answer of any other wrong value.
        Scalar::FloatingPoint(value) => serde_json::Number::from_f64(value.0)
            .map_or_else(|| Value::String(value.0.to_string()), Value::Number),
        Scalar::String(text) => Value::String(text.into_owned()),
    }
}

/// The tree as a plain value; `places` learns where each part of it stands.
pub(crate) fn flatten(node: &Node, places: &mut Places) -> Value {
    flatten_at(node, node.mark, String::new(), places)
}

fn flatten_at(node: &Node, key: Mark, pointer: String, places: &mut Places) -> Value {
    let value = match &node.kind {
        Kind::Scalar(value) => value.clone(),
        Kind::List(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| flatten_at(item, item.mark, format!("{pointer}/{index}"), places))
            .collect(),
        Kind::Mapping(entries) => {
            let mut map = Map::new();
            for entry in entries {
                let value = flatten_at(&entry.value, entry.mark, child(&pointer, &entry.key), places);
                map.insert(entry.key.clone(), value);
            }
            Value::Object(map)
        }
    };
    places.by_pointer.insert(pointer, Place { file: node.file, value: node.mark, key });
    value
}
