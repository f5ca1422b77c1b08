//! A stream's stages, resolved: every fault of the definition, and the table's columns.

use crate::column::Path;
use crate::key::KeyFields;
use crate::lookup::{JoinPlan, Lookups};
use crate::outside::{FunctionPlan, HttpPlan, Nowhere, Outside, step_name};
use crate::refiner::{RefineError, Refiner, Start};
use crate::time::{TimeRule, is_time};
use crate::transform::{self, Transform};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use bourn_config::{Enrich, FunctionFailure, HttpStep, LatePolicy, Stream};
use bourn_event::{Micros, SystemColumn, system_fields};
use std::path::PathBuf;
use std::sync::Arc;

/// What a stream's stages are made from.
#[derive(Clone, Debug)]
pub struct RefineOptions {
    pub stream: String,
    /// The decoded columns, `_extra` last.
    pub columns: SchemaRef,
    /// The schema version that rejects name.
    pub schema_version: String,
    pub settings: Stream,
    /// Text of the transform's file.
    pub transform_sql: Option<String>,
    /// Folder of the dedupe index.
    pub dedupe_dir: PathBuf,
    pub partition: i32,
}

/// What is wrong with a stream's stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanFault {
    /// Path in the definition below the stream, like `enrich[0].lookup.on`.
    pub key: String,
    pub message: String,
    /// Place in the transform's SQL, from 1.
    pub line: Option<u64>,
    pub column: Option<u64>,
    pub hint: String,
}

impl PlanFault {
    pub(crate) fn new(key: impl AsRef<str>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        let key = key.as_ref().to_owned();
        Self { key, message: message.into(), line: None, column: None, hint: hint.into() }
    }
}

/// A stream's stages. Cheap to clone.
#[derive(Clone)]
pub struct Plan {
    pub(crate) inner: Arc<Stages>,
}

pub(crate) struct Stages {
    pub options: RefineOptions,
    pub dedupe: Option<(KeyFields, Micros, usize)>,
    pub time: Option<TimeRule>,
    pub steps: Vec<StepPlan>,
    /// System columns, decoded columns, added columns.
    pub wide: SchemaRef,
    pub transform: Option<Transforming>,
    pub table: SchemaRef,
    pub lookups: Lookups,
}

/// A step that adds columns.
pub(crate) enum StepPlan {
    Join(JoinPlan),
    Function(FunctionPlan, FunctionFailure),
    Http(Box<HttpPlan>),
}

/// What makes the table's columns.
pub(crate) enum Transforming {
    Sql(Transform),
    Function(FunctionPlan),
}

/// Resolves a stream's stages.
///
/// # Errors
/// All faults at once.
pub fn plan(options: RefineOptions, lookups: &Lookups) -> Result<Plan, Vec<PlanFault>> {
    let mut faults = Vec::new();
    for field in options.columns.fields() {
        if system_fields().iter().any(|system| system.name() == field.name()) {
            let message = format!("the schema names `{}`, which is Bourn's own", field.name());
            faults.push(PlanFault::new("schema", message, "give the field another name"));
        }
    }
    let dedupe = plan_dedupe(&options, &mut faults);
    let time = plan_time(&options, &mut faults);
    let (steps, decoded) = plan_steps(&options, lookups, &mut faults);

    let mut fields: Vec<FieldRef> = system_fields().into_iter().map(Arc::new).collect();
    fields.extend(decoded);
    let wide = Arc::new(Schema::new(fields));
    let transform = plan_transform(&options, &wide, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let table = table_schema(&wide, transform.as_ref());
    let lookups = lookups.clone();
    let inner = Stages { options, dedupe, time, steps, wide, transform, table, lookups };
    Ok(Plan { inner: Arc::new(inner) })
}

fn plan_dedupe(options: &RefineOptions, faults: &mut Vec<PlanFault>) -> Option<(KeyFields, Micros, usize)> {
    let settings = options.settings.dedupe.as_ref()?;
    let names = settings.key.names();
    if names.is_empty() {
        faults.push(PlanFault::new("dedupe.key", "the key has no fields", "name at least one"));
    }
    let mut paths = Vec::new();
    for name in names {
        match Path::resolve(&options.columns, name) {
            Ok(path) => paths.push(path),
            Err((message, hint)) => faults.push(PlanFault::new("dedupe.key", message, hint)),
        }
    }
    Some((KeyFields::new(names, paths), settings.window.micros(), settings.memory.bytes()))
}

fn plan_time(options: &RefineOptions, faults: &mut Vec<PlanFault>) -> Option<TimeRule> {
    let settings = options.settings.event_time.as_ref()?;
    let path = match Path::resolve(&options.columns, &settings.field) {
        Ok(path) => path,
        Err((message, hint)) => {
            faults.push(PlanFault::new("event_time.field", message, hint));
            return None;
        }
    };
    if !is_time(&path.data_type) {
        let message = format!("`{}` is of type {}, which is no time", settings.field, path.data_type);
        let hint = "give it `format: date-time` or `format: date` in the schema, or use epoch milliseconds";
        faults.push(PlanFault::new("event_time.field", message, hint));
        return None;
    }
    Some(TimeRule {
        path,
        lateness: settings.lateness.micros(),
        max_future: settings.max_future.micros(),
        stores_late: options.settings.policy.late == LatePolicy::Correct,
    })
}

fn plan_transform(
    options: &RefineOptions,
    wide: &SchemaRef,
    faults: &mut Vec<PlanFault>,
) -> Option<Transforming> {
    if let Some(sql) = &options.transform_sql {
        let compiled = transform::compile(sql, Arc::clone(wide));
        return compiled.map(Transforming::Sql).map_err(|mut found| faults.append(&mut found)).ok();
    }
    let function = options.settings.transform.as_ref()?.function()?;
    for name in function.columns.keys().filter(|name| bourn_event_names().any(|own| own == *name)) {
        let message = format!("`{name}` is Bourn's own");
        faults.push(PlanFault::new("transform.function.columns", message, "give the column another name"));
    }
    let (stream, columns) = (&options.stream, &function.columns);
    let plan = FunctionPlan::new(stream, &function.name, columns, function.calls(), true);
    Some(Transforming::Function(plan))
}

/// The steps, and the decoded and added columns, `_extra` last.
fn plan_steps(
    options: &RefineOptions,
    lookups: &Lookups,
    faults: &mut Vec<PlanFault>,
) -> (Vec<StepPlan>, Vec<FieldRef>) {
    let mut steps = Vec::new();
    let mut fields: Vec<FieldRef> = options.columns.fields().iter().cloned().collect();
    for (at, step) in options.settings.enrich.iter().enumerate() {
        let input = Schema::new(fields.clone());
        let (step, added, key) = match step {
            Enrich::Lookup(step) => {
                let Some(join) = JoinPlan::new(step, at, &input, lookups, faults) else { continue };
                let added = join.fields.clone();
                (StepPlan::Join(join), added, format!("enrich[{at}].lookup.take"))
            }
            Enrich::Function(step) => {
                let plan = FunctionPlan::new(&options.stream, &step.name, &step.take, step.calls(), false);
                let added = plan.fields().to_vec();
                (StepPlan::Function(plan, step.on_failure), added, format!("enrich[{at}].function.take"))
            }
            Enrich::Http(step) => {
                let paths = key_paths(step, at, &input, faults);
                let plan = HttpPlan::new(step_name(&options.stream, at), step, paths);
                let added = plan.fields().to_vec();
                (StepPlan::Http(Box::new(plan)), added, format!("enrich[{at}].http.take"))
            }
        };
        for field in &added {
            let name = field.name();
            if bourn_event_names().any(|own| own == name) {
                let hint =
                    if matches!(step, StepPlan::Join(_)) { "set `prefix`" } else { "name it otherwise" };
                faults.push(PlanFault::new(&key, format!("`{name}` is Bourn's own"), hint));
            } else if !matches!(step, StepPlan::Join(_)) && input.field_with_name(name).is_ok() {
                let hint = "name it otherwise, and say with `from` where in the answer it lies";
                faults.push(PlanFault::new(&key, format!("there is a column `{name}` already"), hint));
            }
        }
        fields.extend(added);
        steps.push(step);
    }
    (steps, fields)
}

/// Where the fields lie that an API is asked with.
fn key_paths(step: &HttpStep, at: usize, input: &Schema, faults: &mut Vec<PlanFault>) -> Vec<Path> {
    let key = format!("enrich[{at}].http.{}", if step.on.is_some() { "on" } else { "url" });
    let mut paths = Vec::new();
    for name in step.key_fields() {
        match Path::resolve(input, &name) {
            Ok(path) if !path.json.is_empty() => {
                let message = format!("`{name}` leads into JSON text");
                faults.push(PlanFault::new(&key, message, "name a field that has a column"));
            }
            Ok(path) => paths.push(path),
            Err((message, hint)) => faults.push(PlanFault::new(&key, message, hint)),
        }
    }
    paths
}

fn bourn_event_names() -> impl Iterator<Item = &'static str> {
    bourn_event::SYSTEM_COLUMNS.iter().map(|column| column.name())
}

fn table_schema(wide: &Schema, transform: Option<&Transforming>) -> SchemaRef {
    let extra = SystemColumn::Extra.name();
    let mut fields: Vec<FieldRef> = wide.fields()[..bourn_event::SYSTEM_COLUMNS.len()].to_vec();
    match transform {
        Some(Transforming::Sql(transform)) => fields.extend(transform.output().fields().iter().cloned()),
        Some(Transforming::Function(plan)) => fields.extend(plan.fields().iter().cloned()),
        None => {
            fields.extend(wide.fields()[fields.len()..].iter().filter(|field| field.name() != extra).cloned())
        }
    }
    if let Ok(field) = wide.field_with_name(extra) {
        fields.push(Arc::new(Field::clone(field)));
    }
    Arc::new(Schema::new(fields))
}

impl Plan {
    /// The system columns, the transform's output (or the decoded and added columns), `_extra`.
    pub fn table_schema(&self) -> SchemaRef {
        Arc::clone(&self.inner.table)
    }

    /// Columns that the transform's SQL sees as `events`.
    pub fn events_schema(&self) -> SchemaRef {
        Arc::clone(&self.inner.wide)
    }

    /// Begins to refine at `start`. Drop the stream's running refiner first: one owns the index.
    pub fn refiner(&self, start: Start) -> Result<Refiner, RefineError> {
        self.refiner_with(start, Arc::new(Nowhere))
    }

    /// The same, for a stream whose steps call functions or APIs.
    pub fn refiner_with(&self, start: Start, outside: Arc<dyn Outside>) -> Result<Refiner, RefineError> {
        Refiner::new(Arc::clone(&self.inner), start, outside)
    }

    /// Does a step call what lies outside? Then the same event may come out differently when it is
    /// processed again.
    pub fn calls_outside(&self) -> bool {
        let stages = &self.inner;
        matches!(stages.transform, Some(Transforming::Function(_)))
            || stages.steps.iter().any(|step| !matches!(step, StepPlan::Join(_)))
    }
}
