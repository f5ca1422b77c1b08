//! From SQL text to a [`Transform`]: parses and plans with DataFusion, and refuses what a row alone
//! cannot answer.

use super::eval::{Step, Transform};
use crate::column::stored_type;
use crate::plan::PlanFault;
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use bourn_event::SystemColumn;
use datafusion::catalog::empty::EmptyTable;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::sync::Arc;

/// Columns that every table gets by itself.
const AUTOMATIC: [SystemColumn; 5] = [
    SystemColumn::Offset,
    SystemColumn::Partition,
    SystemColumn::ReceivedAt,
    SystemColumn::Source,
    SystemColumn::Extra,
];

/// Compiles `sql` over the table `events` with the columns of `input`.
///
/// # Errors
/// All faults that could be found.
pub fn compile(sql: &str, input: SchemaRef) -> Result<Transform, Vec<PlanFault>> {
    let state = session(Arc::clone(&input)).map_err(|error| vec![fault_of(&error)])?;
    // Nothing here waits: the one table is in memory.
    let plan = futures::executor::block_on(state.create_logical_plan(sql)).map_err(|e| vec![fault_of(&e)])?;
    let mut faults = Vec::new();
    check_plan(&plan, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let plan = prepare(&state, plan).map_err(|error| vec![fault_of(&error)])?;
    check_output(&plan, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    build(&state, &plan).map_err(|error| vec![fault_of(&error)])
}

fn session(input: SchemaRef) -> DataFusionResult<SessionState> {
    let mut config = SessionConfig::new();
    config.options_mut().sql_parser.collect_spans = true;
    config.options_mut().sql_parser.map_string_types_to_utf8view = false;
    let mut context = SessionContext::new_with_config(config);
    datafusion_functions_json::register_all(&mut context)?;
    for function in super::bounded::functions() {
        context.register_udf(function);
    }
    context.register_table("events", Arc::new(EmptyTable::new(input)))?;
    Ok(context.state())
}

/// Coerces types and simplifies expressions; the plan keeps its shape otherwise.
fn prepare(state: &SessionState, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> =
        vec![Arc::new(SimplifyExpressions::new()), Arc::new(CommonSubexprEliminate::new())];
    let context = OptimizerContext::new_with_config_options(Arc::clone(state.config_options()));
    // A constant that cannot be evaluated, like 1/0, is left to the rows it meets.
    let simplified = Optimizer::with_rules(rules).optimize(plan.clone(), &context, |_, _| {});
    Ok(simplified.unwrap_or(plan))
}

fn refuse(what: &str, hint: &str, faults: &mut Vec<PlanFault>) {
    let fault = PlanFault::new("transform", format!("{what} cannot be part of a transform"), hint);
    if !faults.contains(&fault) {
        faults.push(fault);
    }
}

const ONE_ROW: &str = "a transform sees one event at a time: this belongs to a view or a model";

fn check_plan(plan: &LogicalPlan, faults: &mut Vec<PlanFault>) {
    match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::TableScan(_) => {}
        LogicalPlan::Aggregate(_) => refuse("an aggregate", "aggregates belong to views or models", faults),
        LogicalPlan::Window(_) => refuse("a window function", ONE_ROW, faults),
        LogicalPlan::Distinct(_) => refuse("DISTINCT", "use the stream's `dedupe`", faults),
        LogicalPlan::Join(_) => refuse("a join", "use `enrich` with a lookup, or a model", faults),
        LogicalPlan::Sort(_) => refuse("ORDER BY", "rows keep the order of their events", faults),
        LogicalPlan::Limit(_) => refuse("LIMIT", "filter with WHERE", faults),
        LogicalPlan::Union(_) => refuse("UNION", "write one SELECT", faults),
        LogicalPlan::Unnest(_) => {
            refuse("unnest", "an event is one row: keep the array, and unnest it in a model", faults);
        }
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            refuse("a SELECT without a table", "write `SELECT … FROM events`", faults);
        }
        other => {
            let name = other.display().to_string();
            let name = name.split([':', ' ', '\n']).next().unwrap_or_default().to_owned();
            refuse(&name, "a transform is one SELECT over the table `events`", faults);
        }
    }
    let checked = plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            check_expr(expr, faults);
            Ok(TreeNodeRecursion::Continue)
        })
    });
    if let Err(error) = checked {
        faults.push(fault_of(&error));
    }
    plan.inputs().into_iter().for_each(|input| check_plan(input, faults));
}

fn check_expr(expr: &Expr, faults: &mut Vec<PlanFault>) {
    match expr {
        Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
            let what = format!("{}()", call.func.name());
            let hint = "it differs from run to run, and a replay must give the same rows; for the time use \
                        `_received_at`, for an identity `_offset`";
            refuse(&what, hint, faults);
        }
        Expr::AggregateFunction(_) => refuse("an aggregate", "aggregates belong to views or models", faults),
        Expr::WindowFunction(_) => refuse("a window function", ONE_ROW, faults),
        Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
            refuse("a subquery", "use `enrich` with a lookup, or a model", faults);
        }
        Expr::Unnest(_) => {
            refuse("unnest", "an event is one row: keep the array, and unnest it in a model", faults);
        }
        Expr::Placeholder(_) => refuse("a parameter", "write the value", faults),
        _ => {}
    }
}

/// Every output column has a name of its own and a type that a table can store.
fn check_output(plan: &LogicalPlan, faults: &mut Vec<PlanFault>) {
    let mut seen: Vec<&str> = Vec::new();
    for field in plan.schema().fields() {
        let name = field.name().as_str();
        let automatic = AUTOMATIC.iter().any(|column| column.name() == name);
        if automatic && !is_untouched(plan, name) {
            let message = format!("the column `{name}` is Bourn's own");
            faults.push(PlanFault::new("transform", message, "give it another name; it is added by itself"));
        } else if seen.contains(&name) {
            let message = format!("two columns are named `{name}`");
            faults.push(PlanFault::new("transform", message, "give one of them another name with AS"));
        } else if let Err(hint) = stored_type(field.data_type()) {
            let message =
                format!("the column `{name}` is of type {}, which a table cannot store", field.data_type());
            faults.push(PlanFault::new("transform", message, hint));
        }
        seen.push(name);
    }
    if seen.iter().all(|name| AUTOMATIC.iter().any(|column| column.name() == *name)) {
        faults.push(PlanFault::new("transform", "no column of the event is selected", "select at least one"));
    }
}

/// Is the output column the event's column of this name?
fn is_untouched(plan: &LogicalPlan, name: &str) -> bool {
    match plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(projection) => {
            let at = projection.schema.fields().iter().position(|field| field.name() == name);
            let expr =
                at.and_then(|at| projection.expr.get(at)).map(|expr| expr.clone().unalias_nested().data);
            matches!(expr, Some(Expr::Column(column)) if column.name == name && is_untouched(&projection.input, name))
        }
        other => other.inputs().into_iter().all(|input| is_untouched(input, name)),
    }
}

fn build(state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<Transform> {
    let mut steps = Vec::new();
    collect(state, plan, &mut steps)?;
    let (mut fields, mut taken): (Vec<FieldRef>, Vec<usize>) = (Vec::new(), Vec::new());
    for (at, field) in plan.schema().fields().iter().enumerate() {
        if AUTOMATIC.iter().any(|column| column.name() == field.name()) {
            continue;
        }
        let stored = stored_type(field.data_type()).map_err(DataFusionError::Plan)?;
        fields.push(Arc::new(Field::new(field.name(), stored, true)));
        taken.push(at);
    }
    Ok(Transform::new(steps, taken, Arc::new(Schema::new(fields))))
}

/// Steps from the table upwards.
fn collect(state: &SessionState, plan: &LogicalPlan, steps: &mut Vec<Step>) -> DataFusionResult<()> {
    match plan {
        LogicalPlan::TableScan(scan) if scan.projection.is_none() && scan.filters.is_empty() => Ok(()),
        LogicalPlan::SubqueryAlias(alias) => collect(state, &alias.input, steps),
        LogicalPlan::Filter(filter) => {
            collect(state, &filter.input, steps)?;
            let predicate = state.create_physical_expr(filter.predicate.clone(), filter.input.schema())?;
            steps.push(Step::Filter(predicate));
            Ok(())
        }
        LogicalPlan::Projection(projection) => {
            collect(state, &projection.input, steps)?;
            let names = projection.schema.fields().iter().map(|field| field.name().clone());
            let exprs = projection.expr.iter().zip(names).map(|(expr, name)| {
                Ok((state.create_physical_expr(expr.clone(), projection.input.schema())?, name))
            });
            steps.push(Step::Project(exprs.collect::<DataFusionResult<_>>()?));
            Ok(())
        }
        other => Err(DataFusionError::Plan(format!("{} cannot be part of a transform", other.display()))),
    }
}

/// DataFusion's error with its place in the SQL.
fn fault_of(error: &DataFusionError) -> PlanFault {
    let message = clean(&error.strip_backtrace());
    let start =
        error.diagnostic().and_then(|found| found.span).map(|span| (span.start.line, span.start.column));
    let (line, column) = start.or_else(|| place_in(&message)).unzip();
    let hint = match () {
        () if message.contains("No field named") => {
            "name a column of the event, or of a lookup; upper case needs \"quotes\""
        }
        () if message.contains("table '") || message.contains("not found") => "the only table is `events`",
        () => "a transform is one SELECT over the table `events`",
    };
    PlanFault { line, column, ..PlanFault::new("transform", message, hint) }
}

/// `… at Line: 1, Column: 8`, as the parser says it.
fn place_in(message: &str) -> Option<(u64, u64)> {
    let (_, rest) = message.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

/// The message without the names of the layers it came through.
pub fn clean(message: &str) -> String {
    const LAYERS: [&str; 14] = [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Arrow error: ",
        "Execution error: ",
        "External error: ",
        "Internal error: ",
        "Invalid argument error: ",
        "Compute error: ",
        "Cast error: ",
        "Arithmetic overflow: ",
        "type_coercion",
        "caused by",
        "Context: ",
    ];
    let mut message = message.trim();
    while let Some(rest) = LAYERS.iter().find_map(|layer| message.strip_prefix(layer)) {
        message = rest.trim_start();
    }
    message.to_owned()
}
