//! Pieces of answers: times, pages, members that are left out when there is nothing to say.

use bourn_event::Micros;
use bourn_workflow::Page;
use serde_json::{Map, Value};

/// The API's time: seconds since 1970 with milliseconds.
pub(super) fn time(at: Micros) -> Value {
    (at.div_euclid(1000) as f64 / 1000.0).into()
}

pub(super) fn maybe_time(at: Option<Micros>) -> Value {
    at.map_or(Value::Null, time)
}

/// Leaves out members that are null: the API has no nulls.
pub(super) fn present(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    value
}

/// A list under its name, and where it goes on.
pub(super) fn page<T>(name: &str, page: Page<T>, item: impl FnMut(T) -> Value) -> Value {
    let mut answer = Map::new();
    answer.insert(name.to_owned(), page.items.into_iter().map(item).collect());
    if let Some(token) = page.next_token {
        answer.insert("nextToken".into(), token.into());
    }
    Value::Object(answer)
}

pub(super) fn empty() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        let cases =
            [(0, "0.0"), (1_700_000_000_123_456, "1700000000.123"), (1_700_000_000_000_999, "1700000000.0")];
        for (at, text) in cases {
            assert_eq!(time(at).to_string(), text, "{at}");
        }
    }
}
