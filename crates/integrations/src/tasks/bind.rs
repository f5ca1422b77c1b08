//! Values in the place of a statement's parameters: `?` in their order, or `$1`, `$2`, ….
//!
//! A value becomes a literal. Parameters within texts, quoted names, comments and dollar-quoted texts
//! are no parameters. With `$n` in the statement, `?` is left alone, for it is an operator too.

use serde_json::Value;

/// The statement with its values. The error says what does not fit.
pub(super) fn bind(sql: &str, values: &[Value]) -> Result<String, String> {
    let parts = split(sql);
    let numbered = parts.iter().any(|part| matches!(part, Part::Numbered(_)));
    let literals = values.iter().map(literal).collect::<Result<Vec<_>, _>>()?;
    let mut bound = String::with_capacity(sql.len() + 16 * values.len());
    let mut used = vec![false; values.len()];
    let mut next = 0;
    for part in parts {
        let index = match part {
            Part::Text(text) => {
                bound.push_str(text);
                continue;
            }
            Part::Question if numbered || values.is_empty() => {
                bound.push('?');
                continue;
            }
            Part::Question => {
                next += 1;
                next - 1
            }
            Part::Numbered(number) => number.wrapping_sub(1),
        };
        let Some(literal) = literals.get(index) else {
            return Err(format!(
                "the statement has a parameter {}, and {} values were given",
                index.wrapping_add(1),
                values.len()
            ));
        };
        used[index] = true;
        bound.push_str(literal);
    }
    match used.iter().position(|used| !used) {
        Some(index) => Err(format!("the statement has no place for value {}", index + 1)),
        None => Ok(bound),
    }
}

fn literal(value: &Value) -> Result<String, String> {
    match value {
        Value::Null => Ok("NULL".into()),
        Value::Bool(value) => Ok(value.to_string()),
        // In parentheses, so that a minus before it makes no comment.
        Value::Number(number) => Ok(format!("({number})")),
        Value::String(text) => Ok(format!("'{}'", text.replace('\'', "''"))),
        Value::Array(_) | Value::Object(_) => {
            Err("a parameter is a text, a number, true, false or null; hand over lists as JSON text".into())
        }
    }
}

enum Part<'a> {
    Text(&'a str),
    Question,
    Numbered(usize),
}

fn split(sql: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at < sql.len() {
        let rest = &sql[at..];
        if let Some(length) = opaque(rest) {
            at += length;
            continue;
        }
        let first = rest.as_bytes()[0];
        let digits = rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        let after_word =
            sql[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$');
        let (part, length) = match first {
            b'?' => (Part::Question, 1),
            b'$' if digits > 0 && !after_word => match rest[1..=digits].parse() {
                Ok(number) => (Part::Numbered(number), 1 + digits),
                Err(_) => (Part::Numbered(0), 1 + digits),
            },
            _ => {
                at += rest.chars().next().map_or(1, char::len_utf8);
                continue;
            }
        };
        parts.push(Part::Text(&sql[from..at]));
        parts.push(part);
        at += length;
        from = at;
    }
    parts.push(Part::Text(&sql[from..]));
    parts
}

/// The length of the text, quoted name, comment or dollar-quoted text that begins here; all the rest if
/// it has no end.
fn opaque(rest: &str) -> Option<usize> {
    let until =
        |end: &str, from: usize| Some(rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len()));
    match rest.as_bytes()[0] {
        // A doubled quote is the end of one text and the beginning of the next.
        b'\'' => until("'", 1),
        b'"' => until("\"", 1),
        b'`' => until("`", 1),
        b'-' if rest.starts_with("--") => until("\n", 2),
        b'/' if rest.starts_with("/*") => Some(comment(rest)),
        b'$' => {
            let tag = rest[1..].find('$').map(|at| &rest[..at + 2])?;
            let named = |c: char| c.is_alphanumeric() || c == '_';
            let is_tag = tag[1..tag.len() - 1].chars().all(named)
                && !tag[1..].starts_with(|c: char| c.is_ascii_digit());
            if is_tag { until(tag, tag.len()) } else { None }
        }
        _ => None,
    }
}

/// Comments may be nested.
fn comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_take_the_places_of_parameters() {
        let cases = [
            ("SELECT 1", json!([]), Ok("SELECT 1")),
            ("a = ? AND b = ?", json!([1, "x"]), Ok("a = (1) AND b = 'x'")),
            ("a = $2 AND b = $1", json!([true, null]), Ok("a = NULL AND b = true")),
            ("a = $1 OR b = $1", json!([-1.5]), Ok("a = (-1.5) OR b = (-1.5)")),
            ("a = 5-$1", json!([-1]), Ok("a = 5-(-1)")),
            ("a = ?", json!(["'; DROP TABLE x; --"]), Ok("a = '''; DROP TABLE x; --'")),
            ("a = '?' AND b = ?", json!([1]), Ok("a = '?' AND b = (1)")),
            ("a = 'it''s ?' AND b = ?", json!([1]), Ok("a = 'it''s ?' AND b = (1)")),
            ("\"what?\" = ? -- why?\n, ?", json!([1, 2]), Ok("\"what?\" = (1) -- why?\n, (2)")),
            ("/* ? /* ? */ ? */ ?", json!([1]), Ok("/* ? /* ? */ ? */ (1)")),
            ("$$ ? $1 $$ || ?", json!(["x"]), Ok("$$ ? $1 $$ || 'x'")),
            ("$t$ $$ ? $t$ || $1", json!(["x"]), Ok("$t$ $$ ? $t$ || 'x'")),
            ("j ? 'k' AND a = $1", json!([1]), Ok("j ? 'k' AND a = (1)")),
            ("j ? 'k'", json!([]), Ok("j ? 'k'")),
            ("a$1 = ?", json!([1]), Ok("a$1 = (1)")),
            ("ü = '?' || ?", json!(["é"]), Ok("ü = '?' || 'é'")),
            ("a = ?", json!([]), Ok("a = ?")),
            ("a = ?, ?", json!([1]), Err("a parameter 2")),
            ("a = $1", json!([]), Err("a parameter 1")),
            ("a = $0", json!([1]), Err("a parameter 0")),
            ("a = ?", json!([1, 2]), Err("no place for value 2")),
            ("a = ?", json!([[1]]), Err("hand over lists as JSON text")),
        ];
        for (sql, values, expected) in cases {
            let bound = bind(sql, values.as_array().expect("a list"));
            match expected {
                Ok(expected) => assert_eq!(bound.as_deref(), Ok(expected), "{sql}"),
                Err(part) => {
                    let error = bound.expect_err(sql);
                    assert!(error.contains(part), "{sql}: {error}");
                }
            }
        }
    }
}
