//! Errors as Postgres clients know them: SQLSTATE codes instead of kinds.

use bourn_event::QueryError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

/// An error with a SQLSTATE of the Postgres documentation's appendix A.
pub fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("ERROR".to_owned(), code.to_owned(), message.into())))
}

/// An error that ends the connection.
pub fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into())))
}

/// The answer to a cancelled query.
pub fn cancelled() -> PgWireError {
    error("57014", "canceling statement due to user request")
}

/// An error of planning or running a query.
pub fn query_error(cause: QueryError) -> PgWireError {
    match &cause {
        QueryError::Timeout(_) => error("57014", format!("canceling statement due to timeout: {cause}")),
        QueryError::Memory(_) => error("53200", cause.to_string()),
        QueryError::Invalid(text) => error(invalid_code(text), cause.to_string()),
        QueryError::Failed(text) => error(failed_code(text), cause.to_string()),
    }
}

fn invalid_code(text: &str) -> &'static str {
    if text.contains(" is refused: SQL only reads") {
        "25006"
    } else if text.starts_with("table ") && text.contains(" does not exist") {
        "42P01"
    } else if text.starts_with("column ") && text.contains(" does not exist") {
        "42703"
    } else if text.starts_with("Invalid function") {
        "42883"
    } else if text.contains("ParserError") || text.contains("sql parser error") {
        "42601"
    } else if text.contains("not implemented") || text.contains("not supported") {
        "0A000"
    } else {
        "42000"
    }
}

fn failed_code(text: &str) -> &'static str {
    let lower = text.to_ascii_lowercase();
    if lower.contains("divide by zero") || lower.contains("division by zero") {
        "22012"
    } else if lower.contains("cast") || lower.contains("parse") {
        "22P02"
    } else if lower.contains("overflow") {
        "22003"
    } else {
        "XX000"
    }
}
