//! Errors, and the sentences people get to read in place of the engine's.

use crate::catalog::{CATALOG, Catalog};
use crate::engine::DEFAULT_ZONE;
use bourn_event::QueryError;
use datafusion::common::{Column, DataFusionError, SchemaError};

/// Why the engine or a listener could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    #[error("the query engine cannot be set up: {0}")]
    Engine(String),
    /// The address is taken or not this machine's.
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    /// Trust is for the own machine only.
    #[error("the Postgres listener on {0} would let anybody in: set a password, or listen on 127.0.0.1")]
    Open(String),
}

impl From<DataFusionError> for SqlError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error.strip_backtrace())
    }
}

/// Maps an error of planning or running a statement.
pub fn explain(error: DataFusionError, catalog: &Catalog) -> QueryError {
    if let Some(own) = own_error(&error) {
        return own;
    }
    match error.find_root() {
        DataFusionError::ResourcesExhausted(text) => QueryError::Memory(text.clone()),
        DataFusionError::SchemaError(schema, _) => QueryError::Invalid(column_error(schema)),
        DataFusionError::Plan(text) => QueryError::Invalid(plan_error(text, catalog)),
        root @ (DataFusionError::SQL(..) | DataFusionError::NotImplemented(_)) => {
            QueryError::Invalid(root.strip_backtrace())
        }
        DataFusionError::Execution(text) => QueryError::Failed(text.clone()),
        root => QueryError::Failed(with_way_out(root.strip_backtrace())),
    }
}

/// A file that a table names and the store does not have: nothing here deletes one, so say what helps.
fn with_way_out(text: String) -> String {
    let text = text.trim_end().to_string();
    if !(text.contains("Object at location") && text.contains("not found")) {
        return text;
    }
    format!("{text}. A file of the lake is missing: restore it, or rebuild the table with `bourn replay`")
}

fn own_error(error: &DataFusionError) -> Option<QueryError> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(own) = error.downcast_ref::<QueryError>() {
            return Some(own.clone());
        }
        cause = error.source();
    }
    None
}

fn plan_error(text: &str, catalog: &Catalog) -> String {
    let missing = text.strip_prefix("table '").and_then(|rest| rest.split_once("' not found"));
    match missing {
        Some((path, _)) => missing_table(path, &catalog.table_paths()),
        None => text.to_owned(),
    }
}

fn missing_table(path: &str, known: &[String]) -> String {
    let own = path.strip_prefix(CATALOG).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path);
    let shown = own.split('@').next().unwrap_or(own);
    let name = shown.rsplit('.').next().unwrap_or(shown);
    // The right name in another zone is a better guess than a similar one in this.
    let elsewhere = known.iter().find(|path| path.rsplit('.').next() == Some(name));
    let closest = elsewhere.or_else(|| closest(shown, known.iter()));
    let message = format!("table {shown} does not exist");
    match closest {
        Some(guess) => format!("{message}; did you mean {guess}?"),
        None if known.is_empty() => format!("{message}; the catalog has no tables yet"),
        None => format!("{message}; SHOW TABLES lists what does (default schema: {DEFAULT_ZONE})"),
    }
}

fn column_error(error: &SchemaError) -> String {
    let SchemaError::FieldNotFound { field, valid_fields } = error else { return error.to_string() };
    let message = format!("column {} does not exist", plain(field));
    let names: Vec<String> = valid_fields.iter().map(|column| column.name.clone()).collect();
    if let Some(cased) = names.iter().find(|name| name.eq_ignore_ascii_case(&field.name)) {
        let qualified = valid_fields.iter().find(|column| column.name == *cased).map(plain);
        return format!("{message}; did you mean {}?", quoted(&qualified.unwrap_or_else(|| cased.clone())));
    }
    match closest(&field.name, names.iter()) {
        Some(guess) => format!("{message}; did you mean {}?", quoted(guess)),
        None => message,
    }
}

/// The column with its table, without the catalog and the schema.
fn plain(column: &Column) -> String {
    match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    }
}

/// A name that is not lower case must be quoted to be found.
fn quoted(name: &str) -> String {
    match name.chars().any(char::is_uppercase) {
        true => name.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join("."),
        false => name.to_owned(),
    }
}

/// The nearest of `known` to `name`, if it is near: at most a third of the name differs.
pub fn closest<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Option<&'a String> {
    let name = name.to_ascii_lowercase();
    let scored = known.map(|other| (strsim::osa_distance(&name, &other.to_ascii_lowercase()), other));
    let (distance, best) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= name.chars().count().div_ceil(3)).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tables_come_with_a_guess() {
        let known: Vec<String> =
            ["lookups.airports", "raw.flights", "silver.flights"].map(str::to_owned).to_vec();
        let cases = [
            ("bourn.silver.flihgts", "table silver.flihgts does not exist; did you mean silver.flights?"),
            ("bourn.silver.airports", "table silver.airports does not exist; did you mean lookups.airports?"),
            ("bourn.silver.flights@v3", "table silver.flights does not exist; did you mean raw.flights?"),
            (
                "bourn.gold.revenue",
                "table gold.revenue does not exist; SHOW TABLES lists what does (default schema: silver)",
            ),
        ];
        for (path, expected) in cases {
            assert_eq!(missing_table(path, &known), expected);
        }
    }
}
