//! Time travel: rewrites the ways to name a table's past into a table the catalog knows.
//!
//! | written | means |
//! | --- | --- |
//! | `at_version('silver.flights', 3)` | version 3 |
//! | `at_time('silver.flights', '2026-11-21T06:00:00Z')` | what it held then |
//! | `silver.flights VERSION AS OF 3`, `silver.flights FOR VERSION AS OF 3` | version 3 |
//! | `silver.flights TIMESTAMP AS OF '…'`, `… FOR SYSTEM_TIME AS OF '…'` | what it held then |
//!
//! It works on tokens, before any parser: no dialect reads all of these, and opening a past
//! version takes I/O that a table function has no way to await.

use crate::catalog::pinned_name;
use crate::source::Point;
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use bourn_event::QueryError;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, Word};
use std::borrow::Cow;

/// Rewrites `sql` if it travels in time; gives it back as it is if it does not, or if it cannot
/// be split into tokens (the parser will say why).
pub fn rewrite(sql: &str) -> Result<Cow<'_, str>, QueryError> {
    if !mentions_time_travel(sql) {
        return Ok(Cow::Borrowed(sql));
    }
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).with_unescape(false).tokenize() else {
        return Ok(Cow::Borrowed(sql));
    };
    let meaningful: Vec<usize> =
        (0..tokens.len()).filter(|&i| !matches!(tokens[i], Token::Whitespace(_))).collect();
    let mut edits: Vec<Edit> = Vec::new();
    for at in 0..meaningful.len() {
        let reader = Reader { tokens: &tokens, meaningful: &meaningful };
        let edit = match reader.function(at)? {
            Some(edit) => Some(edit),
            None => reader.clause(at)?,
        };
        edits.extend(edit);
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(sql));
    }
    Ok(Cow::Owned(apply(&tokens, &edits)))
}

fn mentions_time_travel(sql: &str) -> bool {
    let lower = sql.to_ascii_lowercase();
    lower.contains("at_version") || lower.contains("at_time") || lower.contains("of")
}

/// Replaces the tokens `[from, to)` by `text`.
struct Edit {
    from: usize,
    to: usize,
    text: String,
}

fn apply(tokens: &[Token], edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        tokens[at..edit.from].iter().for_each(|token| out.push_str(&token.to_string()));
        out.push_str(&edit.text);
        at = edit.to;
    }
    tokens[at..].iter().for_each(|token| out.push_str(&token.to_string()));
    out
}

struct Reader<'a> {
    tokens: &'a [Token],
    meaningful: &'a [usize],
}

impl Reader<'_> {
    fn token(&self, at: usize) -> Option<&Token> {
        self.meaningful.get(at).map(|&i| &self.tokens[i])
    }

    fn is_word(&self, at: usize, text: &str) -> bool {
        matches!(self.token(at), Some(Token::Word(Word { value, quote_style: None, .. })) if value.eq_ignore_ascii_case(text))
    }

    fn text(&self, at: usize) -> Option<&str> {
        match self.token(at) {
            Some(Token::SingleQuotedString(text)) => Some(text),
            _ => None,
        }
    }

    /// `at_version('t', 3)` or `at_time('t', '…')` at `at`.
    fn function(&self, at: usize) -> Result<Option<Edit>, QueryError> {
        let by_version = self.is_word(at, "at_version");
        if !(by_version || self.is_word(at, "at_time")) || self.token(at + 1) != Some(&Token::LParen) {
            return Ok(None);
        }
        let usage = if by_version {
            "at_version takes a table and a version, both written out: at_version('silver.flights', 3)"
        } else {
            "at_time takes a table and a time, both written out: at_time('silver.flights', '2026-11-21T06:00:00Z')"
        };
        let usage = || QueryError::Invalid(usage.to_owned());
        let table = self.text(at + 2).ok_or_else(usage)?;
        if self.token(at + 3) != Some(&Token::Comma) || self.token(at + 5) != Some(&Token::RParen) {
            return Err(usage());
        }
        let point = if by_version { self.version(at + 4) } else { self.time(at + 4)? }.ok_or_else(usage)?;
        let parts: Vec<String> = table.split('.').map(|part| part.trim_matches('"').to_owned()).collect();
        Ok(Some(self.edit(at, at + 6, &parts, point)))
    }

    /// `VERSION AS OF 3` and its like at `at`, behind a table's name.
    fn clause(&self, at: usize) -> Result<Option<Edit>, QueryError> {
        let start = if self.is_word(at, "for") { at + 1 } else { at };
        let by_version = self.is_word(start, "version") || self.is_word(start, "system_version");
        let by_time = self.is_word(start, "timestamp") || self.is_word(start, "system_time");
        if !(by_version || by_time) || !self.is_word(start + 1, "as") || !self.is_word(start + 2, "of") {
            return Ok(None);
        }
        // Found by its FOR already.
        if start == at && at > 0 && self.is_word(at - 1, "for") {
            return Ok(None);
        }
        let point = if by_version { self.version(start + 3) } else { self.time(start + 3)? };
        let Some(point) = point else { return Ok(None) };
        let (first, parts) = self.name_before(at);
        if parts.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.edit(first, start + 4, &parts, point)))
    }

    /// The dotted name that ends before `at`, and where it begins.
    fn name_before(&self, at: usize) -> (usize, Vec<String>) {
        let mut parts = Vec::new();
        let mut first = at;
        while first > 0 {
            let Some(Token::Word(word)) = self.token(first - 1) else { break };
            parts.push(match word.quote_style {
                Some(_) => word.value.clone(),
                None => word.value.to_ascii_lowercase(),
            });
            first -= 1;
            if first == 0 || self.token(first - 1) != Some(&Token::Period) {
                break;
            }
            first -= 1;
        }
        parts.reverse();
        (first, parts)
    }

    fn version(&self, at: usize) -> Option<Point> {
        match self.token(at) {
            Some(Token::Number(digits, _)) => digits.parse().ok().map(Point::Version),
            _ => None,
        }
    }

    fn time(&self, at: usize) -> Result<Option<Point>, QueryError> {
        let Some(text) = self.text(at) else { return Ok(None) };
        match string_to_timestamp_nanos(text) {
            Ok(nanos) => Ok(Some(Point::Time(nanos.div_euclid(1_000)))),
            Err(_) => Err(QueryError::Invalid(format!(
                "'{text}' is not a time; write it like '2026-11-21T06:00:00Z'"
            ))),
        }
    }

    fn edit(&self, from: usize, to: usize, parts: &[String], point: Point) -> Edit {
        let (zone, table) = match parts.split_last() {
            Some((table, zone)) => (zone, table.as_str()),
            None => (&[][..], ""),
        };
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let mut path: Vec<String> = zone.iter().map(|part| quote(part)).collect();
        path.push(quote(&pinned_name(table, point)));
        let mut text = path.join(".");
        if !self.has_alias(to) {
            text.push_str(&format!(" AS {}", quote(table)));
        }
        Edit { from: self.meaningful[from], to: self.meaningful[to - 1] + 1, text }
    }

    fn has_alias(&self, at: usize) -> bool {
        match self.token(at) {
            Some(Token::Word(word)) => {
                let reserved = RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword);
                word.keyword == Keyword::AS || word.quote_style.is_some() || !reserved
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        assert_eq!(rewrite(sql).expect(sql), expected);
    }

    #[test]
    fn ways_to_travel_become_names() {
        let v3 = r#"select * from "silver"."flights@v3" AS "flights""#;
        check("select * from at_version('silver.flights', 3)", v3);
        check("select * from AT_VERSION( 'silver.flights',3 )", v3);
        check("select * from silver.flights VERSION AS OF 3", v3);
        check("select * from Silver.Flights for version as of 3", v3);
        check("select * from at_version('flights', 3)", r#"select * from "flights@v3" AS "flights""#);
        let time = r#"select 1 from "silver"."flights@t1000000" AS "flights" where a = 'it''s'"#;
        check("select 1 from at_time('silver.flights', '1970-01-01T00:00:01Z') where a = 'it''s'", time);
        check(
            "select 1 from silver.flights for system_time as of '1970-01-01T01:00:01+01:00' where a = 'it''s'",
            time,
        );
        check("select 1 from silver.flights timestamp as of '1970-01-01 00:00:01' where a = 'it''s'", time);
    }

    #[test]
    fn aliases_are_kept() {
        check("from a.b version as of 1 x", r#"from "a"."b@v1" x"#);
        check("from a.b version as of 1 as x", r#"from "a"."b@v1" as x"#);
        check(
            "from a.b version as of 1 x join a.b version as of 2 y",
            r#"from "a"."b@v1" x join "a"."b@v2" y"#,
        );
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for sql in [
            "select version as of from t",
            "select 'at_version' from t",
            "select 1 -- version as of 3",
            "select version()",
            "select timestamp '2020-01-01'",
            "select 'of",
            "select at_time from t",
        ] {
            check(sql, sql);
        }
    }

    #[test]
    fn wrong_arguments_are_explained() {
        for sql in [
            "select * from at_version('a')",
            "select * from at_version(a, 1)",
            "select * from at_version('a', 'x')",
            "select * from at_time('a', 1)",
            "select * from at_time('a', 'yesterday')",
            "select * from a.b timestamp as of 'yesterday'",
        ] {
            assert!(matches!(rewrite(sql), Err(QueryError::Invalid(_))), "{sql}");
        }
    }
}
