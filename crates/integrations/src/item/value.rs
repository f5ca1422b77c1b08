//! Attribute values, and their wire form (`{"S": "text"}`, `{"N": "1.5"}`, …) after DynamoDB's API.

use super::number::{Decimal, NumberError};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// Maps and lists may be nested this deep.
const DEPTH_MAX: usize = 32;

/// An item: attributes by name.
pub(crate) type Item = BTreeMap<String, Attribute>;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    Text(String),
    Number(Decimal),
    Binary(Vec<u8>),
    Bool(bool),
    Null,
    List(Vec<Attribute>),
    Map(Item),
    TextSet(BTreeSet<String>),
    NumberSet(BTreeSet<Decimal>),
    BinarySet(BTreeSet<Vec<u8>>),
}

/// Why a JSON value is no attribute value, in the service's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadAttribute(pub String);

impl From<NumberError> for BadAttribute {
    fn from(error: NumberError) -> Self {
        Self(error.to_string())
    }
}

fn bad<T>(text: impl Into<String>) -> Result<T, BadAttribute> {
    Err(BadAttribute(text.into()))
}

impl Attribute {
    pub fn parse(json: &Value) -> Result<Self, BadAttribute> {
        parse(json, 0)
    }

    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "S": text }),
            Self::Number(number) => json!({ "N": number.to_string() }),
            Self::Binary(bytes) => json!({ "B": BASE64_STANDARD.encode(bytes) }),
            Self::Bool(value) => json!({ "BOOL": value }),
            Self::Null => json!({ "NULL": true }),
            Self::List(list) => json!({ "L": list.iter().map(Self::to_json).collect::<Vec<_>>() }),
            Self::Map(map) => json!({ "M": item_to_json(map) }),
            Self::TextSet(set) => json!({ "SS": set }),
            Self::NumberSet(set) => json!({ "NS": set.iter().map(Decimal::to_string).collect::<Vec<_>>() }),
            Self::BinarySet(set) => {
                json!({ "BS": set.iter().map(|bytes| BASE64_STANDARD.encode(bytes)).collect::<Vec<_>>() })
            }
        }
    }

    /// The type's name on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Text(_) => "S",
            Self::Number(_) => "N",
            Self::Binary(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::List(_) => "L",
            Self::Map(_) => "M",
            Self::TextSet(_) => "SS",
            Self::NumberSet(_) => "NS",
            Self::BinarySet(_) => "BS",
        }
    }

    /// The order of two texts, numbers or binaries; others have none.
    pub fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
            (Self::Number(a), Self::Number(b)) => Some(a.cmp(b)),
            (Self::Binary(a), Self::Binary(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    /// `size()`: characters, bytes or elements; numbers, booleans and null have none.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text.chars().count()),
            Self::Binary(bytes) => Some(bytes.len()),
            Self::List(list) => Some(list.len()),
            Self::Map(map) => Some(map.len()),
            Self::TextSet(set) => Some(set.len()),
            Self::NumberSet(set) => Some(set.len()),
            Self::BinarySet(set) => Some(set.len()),
            Self::Number(_) | Self::Bool(_) | Self::Null => None,
        }
    }

    /// What it counts for against the limit of an item's size.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => number.to_string().len() / 2 + 2,
            Self::Binary(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::List(list) => 3 + list.iter().map(|value| 1 + value.bytes()).sum::<usize>(),
            Self::Map(map) => 3 + map.len() + item_bytes(map),
            Self::TextSet(set) => set.iter().map(String::len).sum(),
            Self::NumberSet(set) => set.iter().map(|number| number.to_string().len() / 2 + 2).sum(),
            Self::BinarySet(set) => set.iter().map(Vec::len).sum(),
        }
    }

    /// As part of a key: a type's letter and a text that sorts as the values do. Only texts, numbers and
    /// binaries can be keys.
    pub fn key_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(format!("S{text}")),
            Self::Number(number) => Some(format!("N{}", number.sortable())),
            Self::Binary(bytes) => Some(
                std::iter::once("B".to_string()).chain(bytes.iter().map(|b| format!("{b:02x}"))).collect(),
            ),
            _ => None,
        }
    }
}

/// What an item counts for against the limit of its size.
pub(crate) fn item_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.bytes()).sum()
}

pub(crate) fn item_to_json(item: &Item) -> Value {
    item.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<Map<_, _>>().into()
}

pub(crate) fn item_of_json(json: &Value) -> Result<Item, BadAttribute> {
    parse_map(json, 0)
}

fn parse_map(json: &Value, depth: usize) -> Result<Item, BadAttribute> {
    let Value::Object(map) = json else { return bad("an item is an object of attribute values by name") };
    map.iter().map(|(name, value)| Ok((name.clone(), parse(value, depth)?))).collect()
}

fn parse(json: &Value, depth: usize) -> Result<Attribute, BadAttribute> {
    if depth > DEPTH_MAX {
        return bad("Nesting Levels have exceeded supported limits");
    }
    let Value::Object(map) = json else {
        return bad(format!(
            "Supplied AttributeValue must be an object such as {{\"S\": \"text\"}}, not {json}"
        ));
    };
    let (1, Some((kind, value))) = (map.len(), map.iter().next()) else {
        return bad(if map.is_empty() {
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
        } else {
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"
        });
    };
    let wrong = || BadAttribute(format!("an attribute value of type {kind} cannot be {value}"));
    Ok(match kind.as_str() {
        "S" => Attribute::Text(scalar(value).ok_or_else(wrong)?),
        "N" => Attribute::Number(Decimal::parse(&scalar(value).ok_or_else(wrong)?)?),
        "B" => Attribute::Binary(binary(value).ok_or_else(wrong)?),
        "BOOL" => Attribute::Bool(flag(value).ok_or_else(wrong)?),
        "NULL" => match flag(value) {
            Some(true) => Attribute::Null,
            _ => {
                return bad(
                    "One or more parameter values were invalid: Null attribute value types must have the value of true",
                );
            }
        },
        "L" => {
            let list = value.as_array().ok_or_else(wrong)?;
            Attribute::List(list.iter().map(|value| parse(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        "M" => Attribute::Map(parse_map(value, depth + 1)?),
        "SS" => Attribute::TextSet(set(value, |value| scalar(value).ok_or_else(wrong))?),
        "NS" => {
            Attribute::NumberSet(set(value, |value| Ok(Decimal::parse(&scalar(value).ok_or_else(wrong)?)?))?)
        }
        "BS" => Attribute::BinarySet(set(value, |value| binary(value).ok_or_else(wrong))?),
        other => {
            return bad(format!(
                "`{other}` is no type of an attribute value: there is S, N, B, BOOL, NULL, L, M, SS, NS and BS"
            ));
        }
    })
}

fn set<T: Ord>(
    json: &Value,
    element: impl Fn(&Value) -> Result<T, BadAttribute>,
) -> Result<BTreeSet<T>, BadAttribute> {
    let Some(list) = json.as_array() else { return bad("a set is a list of values") };
    if list.is_empty() {
        return bad("One or more parameter values were invalid: An string set  may not be empty");
    }
    let mut set = BTreeSet::new();
    for value in list {
        if !set.insert(element(value)?) {
            return bad("One or more parameter values were invalid: Input collection contains duplicates.");
        }
    }
    Ok(set)
}

/// Numbers and booleans are taken for their text, as the service's own JSON reader does.
fn scalar(json: &Value) -> Option<String> {
    match json {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn binary(json: &Value) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(json.as_str()?).ok()
}

fn flag(json: &Value) -> Option<bool> {
    match json {
        Value::Bool(value) => Some(*value),
        Value::String(text) => text.to_lowercase().parse().ok(),
        _ => None,
    }
}
