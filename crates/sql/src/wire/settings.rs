//! Session settings and the statements around them: `SET`, `SHOW`, savepoints and other
//! housekeeping that drivers do and that changes nothing here.

use crate::engine::{DEFAULT_ZONE, Engine};
use crate::functions::{SERVER_VERSION, fixed_setting};
use crate::wire::error::error;
use datafusion::sql::sqlparser::ast::{Ident, Set, Statement};
use datafusion_postgres::pgwire::api::ClientInfo;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::time::Duration;

/// Where the statement timeout of a session is kept, in milliseconds.
const TIMEOUT_KEY: &str = "statement_timeout_ms";
/// Where the session's first known zone of its search path is kept.
const ZONE_KEY: &str = "bourn_zone";

/// The session's statement timeout, if it set one.
pub fn statement_timeout(client: &(impl ClientInfo + ?Sized)) -> Option<Duration> {
    let millis = client.metadata().get(TIMEOUT_KEY)?.parse().ok()?;
    Some(Duration::from_millis(millis))
}

/// The zone in which the session looks for unqualified tables.
pub fn zone(client: &(impl ClientInfo + ?Sized)) -> String {
    client.metadata().get(ZONE_KEY).cloned().unwrap_or_else(|| DEFAULT_ZONE.to_owned())
}

/// The command tag of a statement that is accepted and does nothing.
pub fn housekeeping(statement: &Statement) -> Option<&'static str> {
    Some(match statement {
        Statement::Discard { .. } => "DISCARD",
        Statement::Reset(_) => "RESET",
        Statement::LISTEN { .. } => "LISTEN",
        Statement::UNLISTEN { .. } => "UNLISTEN",
        Statement::Deallocate { .. } => "DEALLOCATE",
        Statement::Savepoint { .. } => "SAVEPOINT",
        Statement::ReleaseSavepoint { .. } => "RELEASE",
        Statement::Rollback { savepoint: Some(_), .. } => "ROLLBACK",
        _ => return None,
    })
}

/// Executes a `SET`. Settings that shape an answer are kept in the session; the engine's own are
/// everybody's and refused; any other is accepted and forgotten, as no driver survives a refusal.
pub fn set<C: ClientInfo + ?Sized>(client: &mut C, engine: &Engine, statement: &Set) -> PgWireResult<()> {
    match statement {
        Set::SingleAssignment { variable, values, .. } => {
            let name = variable.to_string().to_lowercase();
            let values: Vec<String> = values.iter().map(|value| unquote(&value.to_string())).collect();
            set_one(client, engine, &name, &values)
        }
        Set::SetTimeZone { value, .. } => {
            keep(client, "timezone", unquote(&value.to_string()));
            Ok(())
        }
        Set::ParenthesizedAssignments { .. } | Set::MultipleAssignments { .. } => {
            Err(error("0A000", "SET takes one setting at a time"))
        }
        _ => Ok(()),
    }
}

fn set_one<C: ClientInfo + ?Sized>(
    client: &mut C,
    engine: &Engine,
    name: &str,
    values: &[String],
) -> PgWireResult<()> {
    let value = values.join(", ");
    match name {
        "statement_timeout" => {
            let millis = duration_ms(&value).ok_or_else(|| {
                error("22023", format!("invalid value for parameter \"statement_timeout\": \"{value}\""))
            })?;
            match millis {
                0 => drop(client.metadata_mut().remove(TIMEOUT_KEY)),
                millis => keep(client, TIMEOUT_KEY, millis.to_string()),
            }
            keep(client, name, value);
        }
        "search_path" => {
            let known = values.iter().flat_map(|v| v.split(',')).map(|v| unquote(v.trim()));
            let zone = known.into_iter().find(|zone| engine.has_zone(zone));
            keep(client, ZONE_KEY, zone.unwrap_or_else(|| DEFAULT_ZONE.to_owned()));
            keep(client, name, value);
        }
        _ if name.starts_with("datafusion.") => {
            return Err(error("42501", format!("{name} belongs to the engine and cannot be changed")));
        }
        _ => keep(client, name, value),
    }
    Ok(())
}

fn keep<C: ClientInfo + ?Sized>(client: &mut C, key: &str, value: String) {
    client.metadata_mut().insert(key.to_owned(), value);
}

/// Name and value that a `SHOW` answers; `None` for one that lists something of the catalog.
pub fn show(
    client: &(impl ClientInfo + ?Sized),
    variable: &[Ident],
) -> Option<PgWireResult<(String, String)>> {
    let words: Vec<String> = variable.iter().map(|word| word.value.to_lowercase()).collect();
    let name = match words.join(" ").as_str() {
        "transaction isolation level" => "transaction_isolation".to_owned(),
        "time zone" => "timezone".to_owned(),
        "session authorization" => "session_authorization".to_owned(),
        "all" => return None,
        _ => words.join("."),
    };
    if name.starts_with("datafusion.") {
        return None;
    }
    if name == "server_version" {
        return Some(Ok((name, SERVER_VERSION.to_owned())));
    }
    let own = client.metadata().get(&name).cloned();
    let value = match name.as_str() {
        "session_authorization" => client.metadata().get("user").cloned(),
        "transaction_isolation" | "transaction_read_only" => fixed_setting(&name),
        _ => own.or_else(|| fixed_setting(&name)),
    };
    Some(match value {
        Some(value) => Ok((name, value)),
        None => Err(error("42704", format!("unrecognized configuration parameter \"{name}\""))),
    })
}

/// The query that answers a `SHOW`.
pub fn show_query(name: &str, value: &str) -> String {
    format!("SELECT '{}' AS \"{}\"", value.replace('\'', "''"), name.replace('"', "\"\""))
}

fn unquote(text: &str) -> String {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    quoted('\'').or_else(|| quoted('"')).unwrap_or(text).to_owned()
}

/// Milliseconds of a setting such as `5000`, `5s` or `2min`.
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim() {
        "" | "ms" => 1,
        "us" => return Some(number.parse::<u64>().ok()?.div_ceil(1_000)),
        "s" => 1_000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("250", Some(250)),
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("2 min", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("1500us", Some(2)),
            ("", None),
            ("s", None),
            ("5 years", None),
            ("-1", None),
        ] {
            assert_eq!(duration_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn a_shown_value_cannot_break_out_of_its_query() {
        assert_eq!(show_query("a\"b", "it's"), "SELECT 'it''s' AS \"a\"\"b\"");
    }
}
