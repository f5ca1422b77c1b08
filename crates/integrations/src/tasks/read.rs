//! Reading the parameters of a call; a wrong one is a failure in the service's style.

use super::service::Caller;
use bourn_event::TaskFailure;
use serde_json::Value;

/// The parameters of a call.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    caller: Caller<'a>,
    parameters: &'a Value,
}

impl<'a> Reader<'a> {
    pub fn new(caller: Caller<'a>, parameters: &'a Value) -> Self {
        Self { caller, parameters }
    }

    /// A value that is there and not null.
    pub fn value(&self, name: &str) -> Option<&'a Value> {
        self.parameters.get(name).filter(|value| !value.is_null())
    }

    pub fn maybe_text(&self, name: &str) -> Result<Option<&'a str>, TaskFailure> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(format!("{name} must be a text, not {other}"))),
        }
    }

    pub fn text(&self, name: &str) -> Result<&'a str, TaskFailure> {
        match self.maybe_text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(self.wrong(format!("The request must contain the parameter {name}."))),
        }
    }

    pub fn maybe_number(&self, name: &str) -> Result<Option<u64>, TaskFailure> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => match value.as_u64() {
                Some(number) => Ok(Some(number)),
                None => Err(self.wrong(format!("{name} must be a whole number, not {value}"))),
            },
        }
    }

    pub fn wrong(&self, message: String) -> TaskFailure {
        self.caller.fail("", "ValidationException", 400, message)
    }
}
