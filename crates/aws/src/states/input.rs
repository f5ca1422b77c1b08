//! A request's members, taken one by one; all violations are told at once, in AWS's words.

use super::output::open_token;
use crate::error::AwsError;
use bourn_workflow::{Paging, Tags};
use serde_json::{Map, Value};

/// Longest ARN, in characters, of all but map runs.
pub(super) const ARN_CHARS_MAX: usize = 256;
/// Longest ARN of a map run.
pub(super) const LONG_ARN_CHARS_MAX: usize = 2_000;
pub(super) const NAME_CHARS_MAX: usize = 80;
const TOKEN_CHARS_MAX: usize = 3_096;
const PAGE_RESULTS_MAX: u64 = 1_000;
const TAG_KEY_CHARS_MAX: usize = 128;
const TAG_VALUE_CHARS_MAX: usize = 256;

/// Members that are not repeated in messages.
const SENSITIVE: [&str; 8] =
    ["definition", "input", "output", "error", "cause", "taskToken", "variables", "context"];

/// A request on its way to an operation. Taken members that are wrong come out as defaults, and
/// [`Input::finish`] tells of them: nothing is done before it says yes.
pub(super) struct Input {
    members: Map<String, Value>,
    violations: Vec<String>,
    /// A member of the wrong type.
    mistyped: Option<String>,
    has_bad_token: bool,
}

impl Input {
    pub(super) fn parse(body: &[u8]) -> Result<Self, AwsError> {
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| serialization(format!("The request is not JSON: {error}")))?;
        match value {
            Value::Object(members) => {
                Ok(Self { members, violations: Vec::new(), mistyped: None, has_bad_token: false })
            }
            _ => Err(serialization("Start of structure or map found where not expected.".into())),
        }
    }

    /// Was everything right?
    pub(super) fn finish(self) -> Result<(), AwsError> {
        if let Some(detail) = self.mistyped {
            return Err(serialization(detail));
        }
        if self.violations.is_empty() {
            let refused = || AwsError::new("InvalidToken", "Invalid Token: 'Invalid token'");
            return if self.has_bad_token { Err(refused()) } else { Ok(()) };
        }
        let (count, s) = (self.violations.len(), if self.violations.len() == 1 { "" } else { "s" });
        let detail = format!("{count} validation error{s} detected: {}", self.violations.join("; "));
        Err(AwsError::new("ValidationException", detail))
    }

    pub(super) fn text(&mut self, name: &str, chars_min: usize, chars_max: usize) -> Option<String> {
        let text = self.free_text(name)?;
        let chars = text.chars().count();
        if chars < chars_min {
            let bound = format!("Member must have length greater than or equal to {chars_min}");
            self.violate(name, Some(&text), &bound);
        } else if chars > chars_max {
            let bound = format!("Member must have length less than or equal to {chars_max}");
            self.violate(name, Some(&text), &bound);
        }
        Some(text)
    }

    /// A text whose length the engine judges.
    pub(super) fn free_text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            other => self.mistype(name, "a string", &other),
        }
    }

    pub(super) fn required(&mut self, name: &str, chars_max: usize) -> String {
        let text = self.text(name, 1, chars_max);
        self.require(name, text)
    }

    pub(super) fn required_free(&mut self, name: &str) -> String {
        let text = self.free_text(name);
        self.require(name, text)
    }

    pub(super) fn arn(&mut self, name: &str) -> String {
        self.required(name, ARN_CHARS_MAX)
    }

    pub(super) fn number(&mut self, name: &str, max: u64) -> Option<u64> {
        let value = self.take(name)?;
        let Some(number) = value.as_f64() else { return self.mistype(name, "a number", &value) };
        if number < 0.0 {
            self.violate(name, Some(&value.to_string()), "Member must have value greater than or equal to 0");
        } else if number > max as f64 {
            let bound = format!("Member must have value less than or equal to {max}");
            self.violate(name, Some(&value.to_string()), &bound);
        }
        value.as_u64().or(Some(number as u64))
    }

    pub(super) fn fraction(&mut self, name: &str, max: f64) -> Option<f64> {
        let value = self.take(name)?;
        let Some(number) = value.as_f64() else { return self.mistype(name, "a number", &value) };
        if !(0.0..=max).contains(&number) {
            let bound = format!("Member must have a value from 0 to {max}");
            self.violate(name, Some(&value.to_string()), &bound);
        }
        Some(number)
    }

    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.take(name)?;
        value.as_bool().or_else(|| self.mistype(name, "a boolean", &value))
    }

    pub(super) fn structure(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(members) => Some(members),
            other => self.mistype(name, "a structure", &other),
        }
    }

    /// One of several words; `parse` knows them.
    pub(super) fn word<T>(
        &mut self,
        name: &str,
        words: &[&str],
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.free_text(name)?;
        let parsed = parse(&text);
        if parsed.is_none() {
            let bound = format!("Member must satisfy enum value set: [{}]", words.join(", "));
            self.violate(name, Some(&text), &bound);
        }
        parsed
    }

    /// `includedData`: is more than metadata wanted?
    pub(super) fn wants_data(&mut self) -> bool {
        let parse = |text: &str| match text {
            "ALL_DATA" => Some(true),
            "METADATA_ONLY" => Some(false),
            _ => None,
        };
        self.word("includedData", &["ALL_DATA", "METADATA_ONLY"], parse).unwrap_or(true)
    }

    /// `list` is the name of the list in the answer.
    pub(super) fn paging(&mut self, list: &str) -> Paging {
        let max_results = self.number("maxResults", PAGE_RESULTS_MAX).unwrap_or_default();
        let sealed = self.text("nextToken", 1, TOKEN_CHARS_MAX);
        let next_token = sealed.as_deref().and_then(|sealed| open_token(list, sealed));
        self.has_bad_token |= sealed.is_some() && next_token.is_none();
        Paging { max_results: u32::try_from(max_results).unwrap_or_default(), next_token }
    }

    pub(super) fn tags(&mut self, required: bool) -> Tags {
        let mut tags = Tags::new();
        for item in self.list("tags", required) {
            let member = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (key, value) = (member("key"), member("value"));
            self.bound_key("tags.member.key", &key);
            if value.chars().count() > TAG_VALUE_CHARS_MAX {
                let bound = format!("Member must have length less than or equal to {TAG_VALUE_CHARS_MAX}");
                self.violate("tags.member.value", Some(&value), &bound);
            }
            tags.insert(key, value);
        }
        tags
    }

    pub(super) fn tag_keys(&mut self) -> Vec<String> {
        let items = self.list("tagKeys", true);
        let keys: Vec<String> =
            items.iter().map(|item| item.as_str().unwrap_or_default().to_owned()).collect();
        for key in &keys {
            self.bound_key("tagKeys.member", key);
        }
        keys
    }

    fn bound_key(&mut self, name: &str, key: &str) {
        if !(1..=TAG_KEY_CHARS_MAX).contains(&key.chars().count()) {
            let bound = format!("Member must have length between 1 and {TAG_KEY_CHARS_MAX}");
            self.violate(name, Some(key), &bound);
        }
    }

    fn list(&mut self, name: &str, required: bool) -> Vec<Value> {
        match self.take(name) {
            Some(Value::Array(items)) => items,
            Some(other) => self.mistype(name, "a list", &other).unwrap_or_default(),
            None if required => self.require(name, None),
            None => Vec::new(),
        }
    }

    /// Null is as good as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name).filter(|value| !value.is_null())
    }

    fn require<T: Default>(&mut self, name: &str, value: Option<T>) -> T {
        if value.is_none() && self.mistyped.is_none() {
            self.violations.push(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ));
        }
        value.unwrap_or_default()
    }

    fn violate(&mut self, name: &str, value: Option<&str>, bound: &str) {
        let shown = match value {
            Some(value) if !SENSITIVE.contains(&name) => format!("'{}' ", shorten(value)),
            _ => String::new(),
        };
        self.violations.push(format!("Value {shown}at '{name}' failed to satisfy constraint: {bound}"));
    }

    fn mistype<T>(&mut self, name: &str, wanted: &str, found: &Value) -> Option<T> {
        let found = match found {
            Value::Object(_) => "a structure",
            Value::Array(_) => "a list",
            Value::String(_) => "a string",
            Value::Number(_) => "a number",
            Value::Bool(_) => "a boolean",
            Value::Null => "null",
        };
        self.mistyped.get_or_insert_with(|| format!("'{name}' must be {wanted}, not {found}"));
        None
    }
}

fn serialization(detail: String) -> AwsError {
    AwsError::new("SerializationException", detail)
}

/// A message does not repeat a megabyte.
fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 512;
    text.chars().take(CHARS_MAX).collect()
}
