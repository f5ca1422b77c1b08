//! Pieces of answers: times, pages, members that are left out when there is nothing to say.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// A page's token as clients have it: with the list that it belongs to, so that no other takes it.
pub(super) fn seal_token(list: &str, token: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{list}:{token}"))
}

/// The engine's token; `None` if it is none, or another list's.
pub(super) fn open_token(list: &str, sealed: &str) -> Option<String> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(sealed).ok()?).ok()?;
    Some(text.strip_prefix(list)?.strip_prefix(':')?.to_owned())
}

/// A list under its name, and where it goes on.
pub(super) fn page<T>(name: &str, page: Page<T>, item: impl FnMut(T) -> Value) -> Value {
    let mut answer = Map::new();
    answer.insert(name.to_owned(), page.items.into_iter().map(item).collect());
    if let Some(token) = page.next_token {
        answer.insert("nextToken".into(), seal_token(name, &token).into());
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
    fn a_token_is_good_for_its_own_list() {
        let sealed = seal_token("events", "a:1");
        let cases = [
            ("events", sealed.as_str(), Some("a:1")),
            ("event", &sealed, None),
            ("executions", &sealed, None),
            ("events", "nonsense", None),
            ("events", "***", None),
            ("events", "", None),
        ];
        for (list, sealed, token) in cases {
            assert_eq!(open_token(list, sealed).as_deref(), token, "{list} {sealed}");
        }
    }

    #[test]
    fn times_have_milliseconds() {
        let cases =
            [(0, "0.0"), (1_700_000_000_123_456, "1700000000.123"), (1_700_000_000_000_999, "1700000000.0")];
        for (at, text) in cases {
            assert_eq!(time(at).to_string(), text, "{at}");
        }
    }
}
