//! The judge: the `jsonschema` crate, on a value built for one event.

use crate::options::{Draft, Options, SchemaFault};
use bourn_event::{Fault, RejectReason};
use jsonschema::{ValidationOptions, Validator};
use serde_json::Value;

/// Longest message that is kept, in bytes: the crate's messages repeat the value.
const MESSAGE_BYTES: usize = 300;

pub(crate) struct Judge {
    validator: Validator,
}

fn settings(schema: &Value, options: &Options) -> ValidationOptions<'static> {
    let mut settings = jsonschema::options().offline();
    if schema.get("$schema").is_none() {
        settings = settings.with_draft(options.draft.judge());
    }
    match options.assert_format {
        Some(assert) => settings.should_validate_formats(assert),
        None => settings,
    }
}

impl Judge {
    pub fn new(schema: &Value, options: &Options) -> Result<Self, SchemaFault> {
        settings(schema, options).build(schema).map(|validator| Self { validator }).map_err(|error| {
            let pointer = error.instance_path().as_str().to_owned();
            SchemaFault::new(pointer, cut(error.to_string()), "")
        })
    }

    /// What the draft's meta-schema finds wrong.
    pub fn meta_faults(schema: &Value, draft: Draft) -> Vec<SchemaFault> {
        let meta = match draft {
            Draft::Draft4 => jsonschema::draft4::meta::validator(),
            Draft::Draft6 => jsonschema::draft6::meta::validator(),
            Draft::Draft7 => jsonschema::draft7::meta::validator(),
            Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
            Draft::Draft202012 => jsonschema::draft202012::meta::validator(),
        };
        let faults = meta.iter_errors(schema).map(|error| {
            let hint = format!("{} describes what a schema may say", draft.uri());
            SchemaFault::new(error.instance_path().as_str(), cut(error.to_string()), hint)
        });
        faults.collect()
    }

    /// Judges an event that was parsed before.
    pub fn judge(&self, event: &str) -> Result<(), Box<Fault>> {
        let value: Value = serde_json::from_str(event).map_err(|error| {
            let reason = if error.to_string().starts_with("recursion") {
                RejectReason::TooLarge
            } else {
                // The event is JSON: what is left is a number that no float can hold.
                RejectReason::Type
            };
            Box::new(Fault::new(reason, error.to_string()))
        })?;
        self.validator.validate(&value).map_err(|error| {
            let pointer = error.instance_path().as_str().to_owned();
            let keyword = error.kind().keyword().to_owned();
            Box::new(Fault::new(RejectReason::Schema, cut(error.to_string())).at(pointer, keyword))
        })
    }
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}
