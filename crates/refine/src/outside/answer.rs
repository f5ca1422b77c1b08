//! Columns out of JSON answers: one pass over the bytes, keeping only what is taken.

use super::slot::{Column, Kind, Slot, data_type};
use arrow::array::ArrayRef;
use arrow::datatypes::{Field, FieldRef};
use bourn_config::{ColumnType, Take};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The columns that are taken, and where in an answer they lie.
#[derive(Clone, Debug)]
pub struct Takes {
    names: Vec<String>,
    types: Vec<ColumnType>,
    root: Node,
    /// The added columns.
    pub fields: Vec<FieldRef>,
}

/// A place in an answer: the columns that are its value, and the places in it.
#[derive(Clone, Debug, Default)]
struct Node {
    columns: Vec<usize>,
    children: Vec<(String, Node)>,
}

impl Takes {
    pub fn new(takes: &BTreeMap<String, Take>) -> Self {
        let mut made =
            Self { names: Vec::new(), types: Vec::new(), root: Node::default(), fields: Vec::new() };
        for (column, (name, take)) in takes.iter().enumerate() {
            let pointer = take.pointer(name);
            let mut node = &mut made.root;
            for part in pointer.split('/').skip(1) {
                let part = part.replace("~1", "/").replace("~0", "~");
                let at = node.children.iter().position(|(name, _)| *name == part);
                let at = at.unwrap_or_else(|| {
                    node.children.push((part, Node::default()));
                    node.children.len() - 1
                });
                node = &mut node.children[at].1;
            }
            node.columns.push(column);
            made.names.push(name.clone());
            made.types.push(take.column_type());
            made.fields.push(Arc::new(Field::new(name, data_type(take.column_type()), true)));
        }
        made
    }

    /// Room for the columns of `count` answers.
    pub fn rows(&self, count: usize) -> RowsBuilder<'_> {
        RowsBuilder {
            takes: self,
            slots: vec![Slot::default(); self.types.len()],
            columns: self.types.iter().map(|kind| Column::new(*kind, count)).collect(),
            failed: Vec::new(),
            absent: Vec::new(),
            count: 0,
        }
    }
}

/// Gathers the columns of answers, a row each.
pub struct RowsBuilder<'a> {
    takes: &'a Takes,
    slots: Vec<Slot>,
    columns: Vec<Column>,
    failed: Vec<(u32, String)>,
    absent: Vec<u32>,
    count: u32,
}

impl RowsBuilder<'_> {
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// A row out of one JSON text. `null` is absent; a value of another type than its column's fails the
    /// row, and leaves nulls.
    ///
    /// # Errors
    /// It is not JSON: nothing was added.
    pub fn push(&mut self, json: &[u8]) -> Result<(), String> {
        self.slots.iter_mut().for_each(|slot| slot.kind = Kind::Missing);
        let mut decoder = serde_json::Deserializer::from_slice(json);
        let seed = NodeSeed { node: &self.takes.root, slots: &mut self.slots };
        let shape = seed.deserialize(&mut decoder).and_then(|shape| decoder.end().map(|()| shape));
        let shape = shape.map_err(|error| format!("an answer that is not JSON: {error}"))?;
        self.close_row(shape);
        Ok(())
    }

    /// A row that nothing is known of.
    pub fn push_absent(&mut self) {
        self.absent.push(self.count);
        self.push_nulls();
    }

    /// A row that failed.
    pub fn push_failed(&mut self, why: String) {
        self.failed.push((self.count, why));
        self.push_nulls();
    }

    fn push_nulls(&mut self) {
        self.columns.iter_mut().for_each(Column::push_null);
        self.count += 1;
    }

    fn close_row(&mut self, shape: Shape) {
        match shape {
            Shape::Null => return self.push_absent(),
            Shape::Scalar(found) if self.takes.root.columns.is_empty() => {
                return self.push_failed(format!("expected an object, found {found}"));
            }
            _ => {}
        }
        for at in 0..self.columns.len() {
            if let Err(why) = self.columns[at].push(&self.slots[at]) {
                // The columns before it have the row already.
                self.columns[..at].iter_mut().for_each(Column::pop);
                return self.push_failed(format!("the column `{}`: {why}", self.takes.names[at]));
            }
        }
        self.count += 1;
    }

    /// The columns; rows that failed and why; rows that are absent.
    pub fn finish(mut self) -> (Vec<ArrayRef>, Vec<(u32, String)>, Vec<u32>) {
        (self.columns.iter_mut().map(Column::finish).collect(), self.failed, self.absent)
    }
}

/// What a function answered for a batch.
pub struct Records {
    /// Were there any? Without, its events are as they were.
    pub given: bool,
    /// Offsets that it failed on, as it wrote them, and why. `None`: one that it did not name.
    pub failures: Vec<(Option<String>, Option<String>)>,
}

/// Reads `{"records": [{…} | null…], "batchItemFailures": [{"itemIdentifier": "…"}…]}` into `rows`,
/// which expects `count` of them. `null` and `{}` say that all went well.
///
/// # Errors
/// It is not such an answer; what `rows` holds is of no use then.
pub fn read_records(json: &[u8], count: usize, rows: &mut RowsBuilder<'_>) -> Result<Records, String> {
    let mut decoder = serde_json::Deserializer::from_slice(json);
    let seed = AnswerSeed { count, rows };
    let records = seed.deserialize(&mut decoder).and_then(|records| decoder.end().map(|()| records));
    let records = records.map_err(|error| format!("its answer cannot be used: {error}"))?;
    if records.given && rows.count() != count {
        return Err(format!("it answered {} records for {count} events", rows.count()));
    }
    Ok(records)
}

struct AnswerSeed<'a, 'b> {
    count: usize,
    rows: &'a mut RowsBuilder<'b>,
}

impl<'de> DeserializeSeed<'de> for AnswerSeed<'_, '_> {
    type Value = Records;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<Records, D::Error> {
        decoder.deserialize_any(self)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    #[serde(default)]
    item_identifier: Value,
    #[serde(default)]
    error_message: Option<String>,
}

impl<'de> Visitor<'de> for AnswerSeed<'_, '_> {
    type Value = Records;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `records` or `batchItemFailures`")
    }

    fn visit_unit<E>(self) -> Result<Records, E> {
        Ok(Records { given: false, failures: Vec::new() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Records, A::Error> {
        let mut records = Records { given: false, failures: Vec::new() };
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "records" if records.given => return Err(A::Error::custom("`records` stands twice")),
                "records" => {
                    records.given = true;
                    map.next_value_seed(RecordsSeed { count: self.count, rows: &mut *self.rows })?;
                }
                "batchItemFailures" => {
                    let failures: Option<Vec<ItemFailure>> = map.next_value()?;
                    records.failures.extend(failures.unwrap_or_default().into_iter().map(|failure| {
                        let name = match failure.item_identifier {
                            Value::String(text) if !text.is_empty() => Some(text),
                            Value::Number(number) => Some(number.to_string()),
                            _ => None,
                        };
                        (name, failure.error_message)
                    }));
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(records)
    }
}

struct RecordsSeed<'a, 'b> {
    count: usize,
    rows: &'a mut RowsBuilder<'b>,
}

impl<'de> DeserializeSeed<'de> for RecordsSeed<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<(), D::Error> {
        decoder.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RecordsSeed<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let rows = self.rows;
        loop {
            rows.slots.iter_mut().for_each(|slot| slot.kind = Kind::Missing);
            let seed = NodeSeed { node: &rows.takes.root, slots: &mut rows.slots };
            let Some(shape) = list.next_element_seed(seed)? else { return Ok(()) };
            if rows.count() == self.count {
                return Err(A::Error::custom(format!("more than {} records", self.count)));
            }
            rows.close_row(shape);
        }
    }
}

/// What stood at a place.
enum Shape {
    Null,
    Scalar(&'static str),
    Nested,
}

struct NodeSeed<'a> {
    node: &'a Node,
    slots: &'a mut [Slot],
}

impl NodeSeed<'_> {
    fn set(&mut self, kind: Kind, text: &str) {
        for column in &self.node.columns {
            let slot = &mut self.slots[*column];
            slot.kind = kind;
            slot.text.clear();
            slot.text.push_str(text);
        }
    }

    /// Both the value and parts of it are taken: it is read whole, and then taken apart.
    fn set_whole(&mut self, value: &Value) {
        let text = value.to_string();
        self.set(Kind::Nested, &text);
        for (name, child) in &self.node.children {
            let part = match value {
                Value::Object(fields) => fields.get(name),
                Value::Array(items) => name.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => None,
            };
            if let Some(part) = part {
                // A value is a deserializer that cannot fail.
                let _ = NodeSeed { node: child, slots: &mut *self.slots }.deserialize(part);
            }
        }
    }

    fn is_wanted(&self) -> bool {
        !self.node.columns.is_empty()
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = Shape;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<Shape, D::Error> {
        decoder.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(mut self) -> Result<Shape, E> {
        self.set(Kind::Null, "");
        Ok(Shape::Null)
    }

    fn visit_bool<E>(mut self, value: bool) -> Result<Shape, E> {
        self.set(Kind::Boolean(value), "");
        Ok(Shape::Scalar("true or false"))
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<Shape, E> {
        self.set(Kind::Integer(value), "");
        Ok(Shape::Scalar("a number"))
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<Shape, E> {
        self.set(i64::try_from(value).map_or(Kind::Unsigned(value), Kind::Integer), "");
        Ok(Shape::Scalar("a number"))
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<Shape, E> {
        self.set(Kind::Float(value), "");
        Ok(Shape::Scalar("a number"))
    }

    fn visit_str<E>(mut self, text: &str) -> Result<Shape, E> {
        self.set(Kind::Text, text);
        Ok(Shape::Scalar("text"))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Shape, A::Error> {
        if self.is_wanted() {
            let mut fields = serde_json::Map::new();
            while let Some((key, value)) = map.next_entry()? {
                fields.insert(key, value);
            }
            self.set_whole(&Value::Object(fields));
            return Ok(Shape::Nested);
        }
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.node.children.iter().find(|(name, _)| *name == key) {
                Some((_, child)) => {
                    map.next_value_seed(NodeSeed { node: child, slots: &mut *self.slots })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Shape::Nested)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Shape, A::Error> {
        if self.is_wanted() {
            let mut items = Vec::new();
            while let Some(item) = list.next_element()? {
                items.push(item);
            }
            self.set_whole(&Value::Array(items));
            return Ok(Shape::Nested);
        }
        for at in 0usize.. {
            let child = self.node.children.iter().find(|(name, _)| name.parse() == Ok(at));
            let more = match child {
                Some((_, child)) => {
                    list.next_element_seed(NodeSeed { node: child, slots: &mut *self.slots })?.is_some()
                }
                None => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(Shape::Nested)
    }
}
