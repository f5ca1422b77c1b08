//! Parameters of prepared statements: which types they have, and their values.

use crate::wire::error::error;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::{PG_OID_ALIAS_KEY, into_pg_type, pg_type_for_alias_kind};
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::Portal;
use datafusion_postgres::pgwire::error::PgWireResult;
use std::collections::{BTreeMap, HashMap};

/// As many as a message can carry.
const COUNT_MAX: usize = u16::MAX as usize;

/// A parameter's type in Arrow, where the plan tells it, and on the wire.
pub struct Parameter {
    arrow: Option<DataType>,
    pub wire: Type,
}

/// The parameters of a statement and its plan in order: `$1` first. One that the plan has no use
/// for is a text.
pub fn parameters(sql: &str, plan: &LogicalPlan) -> PgWireResult<Vec<Parameter>> {
    let inferred = plan.get_parameter_types().map_err(|e| error("42P18", e.strip_backtrace()))?;
    let hints = hints(plan);
    let mut ordered = BTreeMap::new();
    for (id, arrow) in inferred {
        let number =
            id.trim_start_matches('$').parse().ok().filter(|number| (1..=COUNT_MAX).contains(number));
        let Some(number) = number else {
            let why = format!("parameter {id} must be written as a number from $1 to ${COUNT_MAX}");
            return Err(error("42P02", why));
        };
        let hint = hints.get(&id);
        let arrow = arrow.or_else(|| hint.and_then(|hint| hint.arrow.clone()));
        let wire = match (hint.and_then(|hint| hint.wire.clone()), &arrow) {
            (Some(wire), _) => wire,
            (None, Some(arrow)) => into_pg_type(arrow)?,
            (None, None) => Type::UNKNOWN,
        };
        ordered.insert(number, Parameter { arrow, wire });
    }
    let count = ordered.keys().max().copied().unwrap_or(0).max(highest(sql));
    let unused = || Parameter { arrow: None, wire: Type::TEXT };
    Ok((1..=count).map(|number| ordered.remove(&number).unwrap_or_else(unused)).collect())
}

/// The highest number of a parameter that the text names.
fn highest(sql: &str) -> usize {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    let numbers = tokens.iter().filter_map(|token| match token {
        Token::Placeholder(id) => id.trim_start_matches('$').parse().ok(),
        _ => None,
    });
    numbers.filter(|number| *number <= COUNT_MAX).max().unwrap_or(0)
}

/// The values that the client bound.
pub fn values<S: Clone>(portal: &Portal<S>, parameters: &[Parameter]) -> PgWireResult<ParamValues> {
    let declared = &portal.statement.parameter_types;
    let arrow = parameters.iter().enumerate().map(|(index, parameter)| {
        // The plan compares an integer column with an integer; the client's fraction must not be cut
        // to one. Planning widens the column instead.
        let fraction = declared.get(index).is_some_and(|declared| declared.as_ref().is_some_and(is_fraction));
        parameter.arrow.as_ref().filter(|arrow| !(fraction && arrow.is_integer()))
    });
    let arrow: Vec<Option<&DataType>> = arrow.collect();
    let wire: Vec<Option<&Type>> = parameters.iter().map(|p| Some(&p.wire)).collect();
    deserialize_parameters_with_server_types(portal, &arrow, &wire)
}

fn is_fraction(wire: &Type) -> bool {
    [Type::FLOAT4, Type::FLOAT8, Type::NUMERIC].contains(wire)
}

#[derive(Default)]
struct Hint {
    /// From a cast around the parameter, or from its place in LIMIT and OFFSET.
    arrow: Option<DataType>,
    /// Object identifiers of the Postgres catalog are numbers to Arrow, but not to drivers.
    wire: Option<Type>,
}

fn hints(plan: &LogicalPlan) -> HashMap<String, Hint> {
    let mut hints: HashMap<String, Hint> = HashMap::new();
    let walked = plan.apply_with_subqueries(|node| {
        let counts_rows = matches!(node, LogicalPlan::Limit(_));
        for expr in node.expressions() {
            expr.apply(|expr| {
                match expr {
                    Expr::Cast(cast) => {
                        if let Expr::Placeholder(placeholder) = cast.expr.as_ref() {
                            let hint = hints.entry(placeholder.id.clone()).or_default();
                            hint.arrow = Some(cast.field.data_type().clone());
                        }
                    }
                    Expr::Placeholder(placeholder) if counts_rows => {
                        hints.entry(placeholder.id.clone()).or_default().arrow = Some(DataType::Int64);
                    }
                    Expr::Placeholder(placeholder) => {
                        let field = placeholder.field.as_deref();
                        let alias = field
                            .filter(|field| field.data_type() == &DataType::Int32)
                            .and_then(|field| field.metadata().get(PG_OID_ALIAS_KEY));
                        if let Some(wire) = alias.and_then(|alias| pg_type_for_alias_kind(alias)) {
                            hints.entry(placeholder.id.clone()).or_default().wire = Some(wire);
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() {
        // The closures above never fail.
        hints.clear();
    }
    hints
}
