//! Which statements may run: those that only read.

use bourn_event::QueryError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement as Ast};

/// Refuses everything that is not a query. The plan is checked once more before it runs, so a
/// write that hides in a query cannot pass either.
pub fn check(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Statement(ast) => check_ast(ast),
        Statement::Explain(explain) => check(&explain.statement),
        Statement::CopyTo(_) => Err(refuse("COPY")),
        Statement::CreateExternalTable(_) => Err(refuse("CREATE EXTERNAL TABLE")),
        Statement::Reset(_) => Err(refuse("RESET")),
    }
}

/// [`check`] for a statement of the parser below.
pub fn check_ast(statement: &Ast) -> Result<(), QueryError> {
    match statement {
        Ast::Query(query) => check_query(query),
        Ast::ShowTables { .. }
        | Ast::ShowColumns { .. }
        | Ast::ShowVariable { .. }
        | Ast::ShowFunctions { .. }
        | Ast::ShowSchemas { .. }
        | Ast::ShowDatabases { .. }
        | Ast::ExplainTable { .. } => Ok(()),
        Ast::Explain { statement, .. } => check_ast(statement),
        other => Err(refuse(&keyword(other))),
    }
}

fn check_query(query: &Query) -> Result<(), QueryError> {
    match query.body.as_ref() {
        SetExpr::Insert(_) => Err(refuse("INSERT")),
        SetExpr::Update(_) => Err(refuse("UPDATE")),
        SetExpr::Delete(_) => Err(refuse("DELETE")),
        SetExpr::Merge(_) => Err(refuse("MERGE")),
        SetExpr::Select(select) if select.into.is_some() => Err(refuse("SELECT INTO")),
        SetExpr::Query(inner) => check_query(inner),
        _ => Ok(()),
    }
}

fn keyword(statement: &Ast) -> String {
    let text = statement.to_string();
    let words: Vec<&str> = text.split_whitespace().take(2).collect();
    match words.as_slice() {
        [verb @ ("CREATE" | "DROP" | "ALTER"), what] => format!("{verb} {what}"),
        [verb, ..] => (*verb).to_owned(),
        [] => "this statement".to_owned(),
    }
}

/// The refusal's text; the wire recognises it by its beginning.
pub fn refuse(what: &str) -> QueryError {
    QueryError::Invalid(format!(
        "{what} is refused: SQL only reads here; tables are written by the pipeline's streams"
    ))
}
