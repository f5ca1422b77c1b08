//! The plan of a schema: what each value must be, and which column takes it. Plain data.

use crate::column::{DECIMAL_DIGITS, timestamp_type};
use crate::formats::Format;
use crate::number::Value;
use crate::pattern::Pattern;
use arrow_schema::{DataType, Field, Fields};
use std::collections::HashMap;
use std::sync::Arc;

/// A set of JSON types. An integer is a number too, so `NUMBER` always comes with `INTEGER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Types(pub u8);

impl Types {
    pub const NONE: Types = Types(0);
    pub const NULL: Types = Types(1);
    pub const BOOLEAN: Types = Types(2);
    pub const INTEGER: Types = Types(4);
    pub const NUMBER: Types = Types(4 | 8);
    pub const STRING: Types = Types(16);
    pub const ARRAY: Types = Types(32);
    pub const OBJECT: Types = Types(64);
    pub const ALL: Types = Types(127);

    pub const NAMED: [(&str, Types); 7] = [
        ("null", Self::NULL),
        ("boolean", Self::BOOLEAN),
        ("integer", Self::INTEGER),
        ("number", Self::NUMBER),
        ("string", Self::STRING),
        ("array", Self::ARRAY),
        ("object", Self::OBJECT),
    ];

    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|(known, _)| *known == name).map(|(_, types)| *types)
    }

    pub const fn with(self, other: Types) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Types) -> Self {
        Self(self.0 & !other.0)
    }

    pub const fn both(self, other: Types) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn has(self, other: Types) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names, joined for a message.
    pub fn names(self) -> String {
        let mut names = Vec::new();
        for (name, types) in Self::NAMED {
            let hidden = name == "integer" && self.has(Self::NUMBER);
            if self.has(types) && !hidden {
                names.push(name);
            }
        }
        names.join(" or ")
    }
}

/// What is known of one value of the schema.
pub(crate) struct Node {
    pub kind: Kind,
    pub types: Types,
    /// Null is a valid value.
    pub null_ok: bool,
    /// The schema says more than the plan checks: an event with this value is judged.
    pub judged: bool,
    /// `1.0` is not an integer (draft 4).
    pub integer_strict: bool,
    /// Why the column is what it is, for the mapping's listing.
    pub why: &'static str,
    pub number: Option<Box<NumberChecks>>,
    pub text: Option<Box<TextChecks>>,
}

/// The column a value goes to.
pub(crate) enum Kind {
    /// The value's own bytes.
    Json,
    Bool,
    Int,
    Decimal,
    Float,
    Text,
    Timestamp,
    Date,
    Struct(Box<ObjectPlan>),
    List(Box<ListPlan>),
}

#[derive(Default)]
pub(crate) struct NumberChecks {
    /// A number from the first to the second passes every check.
    pub certain: Option<(f64, f64)>,
    pub bounds: Vec<Bound>,
    pub multiple_of: Option<i64>,
    pub allowed: Option<Vec<i64>>,
}

pub(crate) struct Bound {
    pub keyword: &'static str,
    pub limit: Value,
    /// The limit as the schema writes it.
    pub text: String,
}

#[derive(Default)]
pub(crate) struct TextChecks {
    pub min: u64,
    pub max: Option<u64>,
    pub pattern: Option<(Pattern, String)>,
    pub allowed: Option<Vec<Box<str>>>,
    /// `const` rather than `enum`.
    pub constant: bool,
    /// Asserted, not only an annotation.
    pub format: Option<Format>,
}

impl TextChecks {
    pub fn any(&self) -> bool {
        let lengths = self.min > 0 || self.max.is_some();
        lengths || self.pattern.is_some() || self.allowed.is_some() || self.format.is_some()
    }
}

/// Fields that a `u64` has bits for.
pub(crate) const FEW_FIELDS: usize = 64;

pub(crate) struct ObjectPlan {
    pub fields: Vec<FieldPlan>,
    pub by_name: HashMap<Box<[u8]>, u32>,
    /// Indexes of the fields that must be there, in the schema's order.
    pub required: Vec<u32>,
    /// Bits of those of `required` that are below [`FEW_FIELDS`].
    pub required_few: u64,
    /// No other fields (`additionalProperties: false`).
    pub closed: bool,
    pub min: u64,
    pub max: Option<u64>,
}

pub(crate) struct FieldPlan {
    pub name: Box<str>,
    /// The key with its quotes and colon, as it is written without escapes and spaces.
    pub key: Box<[u8]>,
    pub node: Node,
}

pub(crate) struct ListPlan {
    pub item: Node,
    pub min: u64,
    pub max: Option<u64>,
}

impl Node {
    /// A value of any kind, kept as JSON text.
    pub fn json(judged: bool, why: &'static str) -> Self {
        Self {
            kind: Kind::Json,
            types: Types::ALL,
            null_ok: true,
            judged,
            integer_strict: false,
            why,
            number: None,
            text: None,
        }
    }

    pub fn arrow_type(&self) -> DataType {
        match &self.kind {
            Kind::Json | Kind::Text => DataType::Utf8,
            Kind::Bool => DataType::Boolean,
            Kind::Int => DataType::Int64,
            Kind::Decimal => DataType::Decimal128(DECIMAL_DIGITS, 0),
            Kind::Float => DataType::Float64,
            Kind::Timestamp => timestamp_type(),
            Kind::Date => DataType::Date32,
            Kind::Struct(plan) => DataType::Struct(plan.arrow_fields()),
            Kind::List(plan) => DataType::List(Arc::new(Field::new("item", plan.item.arrow_type(), true))),
        }
    }
}

impl ObjectPlan {
    pub fn new(fields: Vec<FieldPlan>) -> Self {
        let by_name =
            fields.iter().enumerate().map(|(i, field)| (field.name.as_bytes().into(), i as u32)).collect();
        Self { fields, by_name, required: Vec::new(), required_few: 0, closed: false, min: 0, max: None }
    }

    pub fn require(&mut self, field: u32) {
        self.required.push(field);
        if (field as usize) < FEW_FIELDS {
            self.required_few |= 1 << field;
        }
    }

    pub fn arrow_fields(&self) -> Fields {
        self.fields
            .iter()
            .map(|field| Field::new(field.name.as_ref(), field.node.arrow_type(), true))
            .collect()
    }
}

impl FieldPlan {
    pub fn new(name: &str, node: Node) -> Self {
        let mut key = serde_json::to_vec(name).unwrap_or_default();
        key.push(b':');
        Self { name: name.into(), key: key.into(), node }
    }
}
