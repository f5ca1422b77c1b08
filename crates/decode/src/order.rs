//! The order in which a schema's text names its properties.
//!
//! `serde_json`'s maps are sorted, so the order is read from the text and kept beside `properties` under
//! [`ORDER`], a key that no schema writes. Only the plan's copy of the schema has it.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Keyword under which the plan finds the names of `properties` in order.
pub(crate) const ORDER: &str = "\u{0}order";

/// Keywords that hold a map of schemas.
pub(crate) const SCHEMA_MAPS: [&str; 5] =
    ["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"];

/// Keywords that hold a schema or an array of schemas.
pub(crate) const SCHEMAS: [&str; 16] = [
    "items",
    "additionalProperties",
    "additionalItems",
    "prefixItems",
    "contains",
    "propertyNames",
    "not",
    "if",
    "then",
    "else",
    "allOf",
    "anyOf",
    "oneOf",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contentSchema",
];

/// Reads a schema's text: the value as the judge takes it, and the plan's copy with [`ORDER`] in it.
pub(crate) fn read(text: &str) -> Result<(Value, Value), serde_json::Error> {
    let value = serde_json::from_str(text)?;
    let ordered: Ordered = serde_json::from_str(text)?;
    Ok((value, ordered.schema()))
}

enum Ordered {
    Plain(Value),
    Array(Vec<Ordered>),
    Object(Vec<(String, Ordered)>),
}

impl Ordered {
    fn plain(self) -> Value {
        match self {
            Self::Plain(value) => value,
            Self::Array(items) => items.into_iter().map(Self::plain).collect(),
            Self::Object(members) => members.into_iter().map(|(key, value)| (key, value.plain())).collect(),
        }
    }

    fn schema(self) -> Value {
        let Self::Object(members) = self else { return self.plain() };
        let mut schema = Map::new();
        for (key, value) in members {
            let value = match value {
                Self::Object(inner) if SCHEMA_MAPS.contains(&key.as_str()) => {
                    if key == "properties" {
                        let names = inner.iter().map(|(name, _)| Value::from(name.as_str())).collect();
                        schema.insert(ORDER.to_owned(), names);
                    }
                    inner.into_iter().map(|(name, schema)| (name, schema.schema())).collect()
                }
                Self::Array(items) if SCHEMAS.contains(&key.as_str()) => {
                    items.into_iter().map(Self::schema).collect()
                }
                other if SCHEMAS.contains(&key.as_str()) => other.schema(),
                other => other.plain(),
            };
            schema.insert(key, value);
        }
        Value::Object(schema)
    }
}

impl<'de> Deserialize<'de> for Ordered {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OrderedVisitor)
    }
}

struct OrderedVisitor;

impl<'de> Visitor<'de> for OrderedVisitor {
    type Value = Ordered;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Plain(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Plain(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ordered, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Ordered::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Ordered::Object(members))
    }
}
