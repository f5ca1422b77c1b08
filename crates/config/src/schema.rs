//! The JSON Schema of `bourn.yaml`, made from the types of [`crate::model`].

use crate::model::{ByteSize, Partition, Pipeline, Span};
use jsonschema::{Keyword, ValidationError, Validator, paths::Location};
use serde_json::{Map, Value};
use std::sync::OnceLock;

/// Names the unit a value is written in; annotates for editors, asserts here.
pub(crate) const UNIT: &str = "x-unit";

/// The JSON Schema (draft 2020-12) of `bourn.yaml`. The same for the same build.
pub fn json_schema() -> Value {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.into_generator().into_root_schema_for::<Pipeline>().to_value()
}

/// The same, made once.
pub(crate) fn shared() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(json_schema)
}

/// The compiled schema, or why it does not compile (which a test excludes).
pub(crate) fn validator() -> Result<&'static Validator, &'static str> {
    static VALIDATOR: OnceLock<Result<Validator, String>> = OnceLock::new();
    let built = VALIDATOR.get_or_init(|| {
        jsonschema::options().with_keyword(UNIT, unit).build(shared()).map_err(|error| error.to_string())
    });
    built.as_ref().map_err(String::as_str)
}

fn unit<'a>(
    _: &'a Map<String, Value>,
    value: &'a Value,
    _: Location,
) -> Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>> {
    match value.as_str() {
        Some("duration") => Ok(Box::new(Unit(duration))),
        Some("size") => Ok(Box::new(Unit(|text| ByteSize::parse(text).map(drop)))),
        Some("partition") => Ok(Box::new(Unit(|text| Partition::parse(text).map(drop)))),
        _ => Err(ValidationError::schema(format!("unknown unit {value}"))),
    }
}

fn duration(text: &str) -> Result<(), String> {
    Span::parse(text).map(drop)
}

struct Unit(fn(&str) -> Result<(), String>);

impl Unit {
    fn judge(&self, instance: &Value) -> Result<(), String> {
        match instance {
            Value::String(text) => (self.0)(text),
            // Only durations take no plain numbers.
            Value::Number(number) if number.is_u64() => (self.0)(&number.to_string()),
            _ => Ok(()),
        }
    }
}

impl<'i> Keyword<'i> for Unit {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.judge(instance).map_err(ValidationError::custom)
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.judge(instance).is_ok()
    }
}
