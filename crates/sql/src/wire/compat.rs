//! Rewrites of what drivers and tools ask the Postgres catalog, where the engine cannot plan it.
//!
//! The library rewrites much; this adds what it lacks, and only where the answer is known to be
//! nothing for every table here: no table has a default, an identity, a collation, an index, a
//! constraint, a policy or storage options.

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, Expr, Function, FunctionArguments, Query, SetExpr, Statement,
    TableFactor, Value, ValueWithSpan, VisitMut, VisitorMut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use std::borrow::Cow;
use std::ops::ControlFlow;

/// Catalog tables that say nothing about any table here.
const SILENT: [&str; 10] = [
    "pg_attrdef",
    "pg_auth_members",
    "pg_collation",
    "pg_constraint",
    "pg_index",
    "pg_inherits",
    "pg_policy",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_trigger",
];

/// Replaces a statement that is known by its text: asyncpg asks with a recursion over
/// [`is_type_lookup`]'s types for what their elements are. No type here is a domain, a range or a
/// row, so that one level tells all.
pub fn replace(sql: &str) -> Cow<'_, str> {
    match is_type_lookup(sql) {
        true => Cow::Borrowed(TYPE_LOOKUP),
        false => Cow::Borrowed(sql),
    }
}

/// Is it asyncpg's question for types? Its parameter is an array of object identifiers, the one
/// kind of array that asyncpg can send before it knows the answer.
pub fn is_type_lookup(sql: &str) -> bool {
    sql.contains("typeinfo_tree") && sql.contains("range_subtype_name")
}

const TYPE_LOOKUP: &str = "SELECT t.oid AS oid, ns.nspname AS ns, t.typname AS name, t.typtype AS kind, \
    NULL::int AS basetype, t.typelem AS elemtype, elem.typdelim AS elemdelim, NULL::int AS range_subtype, \
    NULL::text AS attrtypoids, NULL::text AS attrnames, 0 AS depth, NULL::text AS basetype_name, \
    elem.typname AS elemtype_name, NULL::text AS range_subtype_name \
    FROM pg_catalog.pg_type AS t \
    JOIN pg_catalog.pg_namespace AS ns ON ns.oid = t.typnamespace \
    LEFT JOIN pg_catalog.pg_type AS elem ON t.typlen = -1 AND t.typelem <> 0 AND t.typelem = elem.oid \
    WHERE t.oid = ANY($1::int[])";

/// Makes a client's statement plannable.
pub fn rewrite(statement: &mut Statement) {
    let mut lists = false;
    let mut catalog = false;
    let _: ControlFlow<()> = visit_relations(statement, |name| {
        let table = name.0.last().map(ToString::to_string).unwrap_or_default();
        catalog |= table.starts_with("pg_");
        lists |= matches!(table.as_str(), "pg_index" | "pg_constraint");
        ControlFlow::Continue(())
    });
    let _: ControlFlow<()> = VisitMut::visit(statement, &mut Rewriter { catalog, lists });
}

struct Rewriter {
    /// The statement reads the Postgres catalog.
    catalog: bool,
    /// It takes apart the lists of columns of indexes and constraints.
    lists: bool,
}

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        if self.lists
            && let SetExpr::Select(select) = query.body.as_mut()
            && select.projection.iter().any(|item| takes_apart(&item.to_string()))
        {
            // There is nothing to take apart; said plainly, the planner drops all of it.
            select.selection = Some(Expr::Value(ValueWithSpan::from(Value::Boolean(false))));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Subquery(query) if self.catalog && is_silent(query) => *expr = null(),
            Expr::Subquery(query) if self.catalog && is_collation(query) => *expr = null_number(),
            // The library's `pg_class` lacks the column.
            Expr::CompoundIdentifier(path)
                if self.catalog && path.last().is_some_and(|column| column.value == "reloptions") =>
            {
                *expr = null_list();
            }
            Expr::Function(function) if self.catalog => match self.is_null_call(function) {
                Some(NullCall::Text) => *expr = null(),
                Some(NullCall::Number) => *expr = null_number(),
                None => {}
            },
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                unescape(pattern, escape_char);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

enum NullCall {
    Text,
    Number,
}

impl Rewriter {
    fn is_null_call(&self, function: &Function) -> Option<NullCall> {
        let name = function.name.0.last()?.to_string().to_lowercase();
        match (name.as_str(), &function.args) {
            // The engine has no arrays of rows; in the catalog they hold roles, options and the like.
            ("array", FunctionArguments::Subquery(_)) => Some(NullCall::Text),
            ("unnest" | "generate_subscripts", _) if self.lists => Some(NullCall::Number),
            _ => None,
        }
    }
}

/// Does the query read a table that says nothing?
fn is_silent(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    let named = |factor: &TableFactor| match factor {
        TableFactor::Table { name, .. } => {
            let name = name.0.last().map(ToString::to_string).unwrap_or_default();
            SILENT.contains(&name.as_str())
        }
        _ => false,
    };
    select
        .from
        .iter()
        .any(|table| named(&table.relation) || table.joins.iter().any(|join| named(&join.relation)))
}

fn takes_apart(item: &str) -> bool {
    item.contains("unnest(") || item.contains("generate_subscripts(")
}

/// Does the query ask a type for its collation?
fn is_collation(query: &Query) -> bool {
    let SetExpr::Select(select) = query.body.as_ref() else { return false };
    select.projection.iter().any(|item| item.to_string().ends_with("typcollation"))
}

fn null_list() -> Expr {
    cast_null(DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(DataType::Text), None)))
}

fn null() -> Expr {
    cast_null(DataType::Text)
}

fn null_number() -> Expr {
    cast_null(DataType::BigInt(None))
}

fn cast_null(data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(ValueWithSpan::from(Value::Null))),
        data_type,
        array: false,
        format: None,
    }
}

/// The engine escapes with a backslash only: translates any other escape character.
fn unescape(pattern: &mut Box<Expr>, escape_char: &mut Option<ValueWithSpan>) {
    let Some(Value::SingleQuotedString(escape)) = escape_char.as_ref().map(|value| &value.value) else {
        return;
    };
    if escape.chars().count() != 1 || escape == "\\" {
        return;
    }
    let escape = escape.replace('\'', "''");
    let call = format!("replace(replace({pattern}, '\\', '\\\\'), '{escape}', '\\')");
    let parsed = Parser::new(&PostgreSqlDialect {}).try_with_sql(&call).and_then(|mut p| p.parse_expr());
    if let Ok(translated) = parsed {
        **pattern = translated;
        *escape_char = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, sql).expect(sql);
        rewrite(&mut statements[0]);
        assert_eq!(statements[0].to_string(), expected);
    }

    #[test]
    fn what_no_table_has_becomes_null() {
        check(
            "SELECT (SELECT seqmin FROM pg_catalog.pg_sequence WHERE seqrelid = c.oid) FROM pg_class AS c",
            "SELECT CAST(NULL AS TEXT) FROM pg_class AS c",
        );
        check(
            "SELECT unnest(indkey), generate_subscripts(indkey, 1) FROM pg_index",
            "SELECT CAST(NULL AS BIGINT), CAST(NULL AS BIGINT) FROM pg_index WHERE false",
        );
        let users = "SELECT unnest(tags), (SELECT max(a) FROM u) FROM silver.t";
        check(users, users);
    }

    #[test]
    fn escapes_become_backslashes() {
        check(
            "SELECT a NOT LIKE $1 || '%' ESCAPE '/' FROM t",
            r"SELECT a NOT LIKE replace(replace($1 || '%', '\', '\\'), '/', '\') FROM t",
        );
    }
}
