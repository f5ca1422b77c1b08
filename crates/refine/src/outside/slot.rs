//! A JSON value on its way into a typed column: what fits, and what is said of what does not.

use crate::column::timestamp;
use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type};
use bourn_config::ColumnType;
use serde_json::Value;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Kind {
    #[default]
    Missing,
    Null,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    /// In the slot's text.
    Text,
    /// JSON in the slot's text.
    Nested,
}

/// A value on its way into a column; the text's memory is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub kind: Kind,
    pub text: String,
}

/// A column that grows by a value a row.
pub(super) enum Column {
    Bigint(Vec<Option<i64>>),
    Double(Vec<Option<f64>>),
    Boolean(Vec<Option<bool>>),
    Text(Texts),
    Json(Texts),
    Timestamp(Vec<Option<i64>>),
    Date(Vec<Option<i32>>),
}

pub(super) fn data_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Bigint => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Text | ColumnType::Json => DataType::Utf8,
        ColumnType::Timestamp => timestamp(),
        ColumnType::Date => DataType::Date32,
    }
}

impl Column {
    pub fn new(kind: ColumnType, count: usize) -> Self {
        match kind {
            ColumnType::Bigint => Self::Bigint(Vec::with_capacity(count)),
            ColumnType::Double => Self::Double(Vec::with_capacity(count)),
            ColumnType::Boolean => Self::Boolean(Vec::with_capacity(count)),
            ColumnType::Text => Self::Text(Texts::default()),
            ColumnType::Json => Self::Json(Texts::default()),
            ColumnType::Timestamp => Self::Timestamp(Vec::with_capacity(count)),
            ColumnType::Date => Self::Date(Vec::with_capacity(count)),
        }
    }

    pub fn push_null(&mut self) {
        match self {
            Self::Bigint(values) | Self::Timestamp(values) => values.push(None),
            Self::Double(values) => values.push(None),
            Self::Boolean(values) => values.push(None),
            Self::Text(texts) | Self::Json(texts) => texts.push(None),
            Self::Date(values) => values.push(None),
        }
    }

    pub fn pop(&mut self) {
        match self {
            Self::Bigint(values) | Self::Timestamp(values) => drop(values.pop()),
            Self::Double(values) => drop(values.pop()),
            Self::Boolean(values) => drop(values.pop()),
            Self::Text(texts) | Self::Json(texts) => texts.pop(),
            Self::Date(values) => drop(values.pop()),
        }
    }

    /// Adds the value, or says why it cannot.
    pub fn push(&mut self, slot: &Slot) -> Result<(), String> {
        if matches!(slot.kind, Kind::Missing | Kind::Null) {
            self.push_null();
            return Ok(());
        }
        let expected = |what: &str| Err(format!("expected {what}, found {}", slot.shown()));
        match self {
            Self::Bigint(values) => match slot.whole() {
                Some(value) => values.push(Some(value)),
                None => return expected("a whole number of 64 bits"),
            },
            Self::Double(values) => match slot.kind {
                Kind::Integer(value) => values.push(Some(value as f64)),
                Kind::Unsigned(value) => values.push(Some(value as f64)),
                Kind::Float(value) => values.push(Some(value)),
                _ => return expected("a number"),
            },
            Self::Boolean(values) => match slot.kind {
                Kind::Boolean(value) => values.push(Some(value)),
                _ => return expected("true or false"),
            },
            Self::Text(texts) => match slot.kind {
                Kind::Text => texts.push(Some(&slot.text)),
                _ => return expected("text"),
            },
            Self::Json(texts) => texts.push(Some(&slot.json())),
            Self::Timestamp(values) => match slot.micros() {
                Some(micros) => values.push(Some(micros)),
                None => return expected("an RFC 3339 time or epoch milliseconds"),
            },
            Self::Date(values) => match (slot.kind, Date32Type::parse(&slot.text)) {
                (Kind::Text, Some(day)) => values.push(Some(day)),
                _ => return expected("a date like 2026-01-31"),
            },
        }
        Ok(())
    }

    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bigint(values) => {
                let mut builder = Int64Builder::with_capacity(values.len());
                values.iter().for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish())
            }
            Self::Double(values) => {
                let mut builder = Float64Builder::with_capacity(values.len());
                values.iter().for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish())
            }
            Self::Boolean(values) => {
                let mut builder = BooleanBuilder::with_capacity(values.len());
                values.iter().for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish())
            }
            Self::Text(texts) | Self::Json(texts) => texts.finish(),
            Self::Timestamp(values) => {
                let mut builder = TimestampMicrosecondBuilder::with_capacity(values.len());
                values.iter().for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish().with_timezone("UTC"))
            }
            Self::Date(values) => {
                let mut builder = Date32Builder::with_capacity(values.len());
                values.iter().for_each(|value| builder.append_option(*value));
                Arc::new(builder.finish())
            }
        }
    }
}

/// Texts behind one another; `ends` has `None` for null.
#[derive(Default)]
pub(super) struct Texts {
    bytes: String,
    ends: Vec<(usize, bool)>,
}

impl Texts {
    fn push(&mut self, text: Option<&str>) {
        self.bytes.push_str(text.unwrap_or_default());
        self.ends.push((self.bytes.len(), text.is_some()));
    }

    fn pop(&mut self) {
        self.ends.pop();
        self.bytes.truncate(self.ends.last().map_or(0, |(end, _)| *end));
    }

    fn finish(&self) -> ArrayRef {
        let mut builder = StringBuilder::with_capacity(self.ends.len(), self.bytes.len());
        let mut start = 0;
        for (end, is_some) in &self.ends {
            builder.append_option(is_some.then(|| &self.bytes[start..*end]));
            start = *end;
        }
        Arc::new(builder.finish())
    }
}

impl Slot {
    /// A whole number, also if written like `3.0`.
    fn whole(&self) -> Option<i64> {
        match self.kind {
            Kind::Integer(value) => Some(value),
            // Floats are exact up to 2^53.
            Kind::Float(value) if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 => {
                Some(value as i64)
            }
            _ => None,
        }
    }

    fn micros(&self) -> Option<i64> {
        match self.kind {
            Kind::Text => {
                let time = string_to_datetime(&chrono::Utc, &self.text).ok()?;
                Some(time.timestamp_micros())
            }
            _ => self.whole()?.checked_mul(1000),
        }
    }

    fn json(&self) -> String {
        match self.kind {
            Kind::Missing | Kind::Null => "null".to_owned(),
            Kind::Boolean(value) => value.to_string(),
            Kind::Integer(value) => value.to_string(),
            Kind::Unsigned(value) => value.to_string(),
            Kind::Float(value) => serde_json::json!(value).to_string(),
            Kind::Text => Value::from(self.text.as_str()).to_string(),
            Kind::Nested => self.text.clone(),
        }
    }

    /// What was found, cut short.
    fn shown(&self) -> String {
        let json = self.json();
        let cut: String = json.chars().take(60).collect();
        if cut.len() < json.len() { format!("{cut}…") } else { cut }
    }
}
