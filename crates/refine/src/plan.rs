//! A stream's stages, resolved: every fault of the definition, and the table's columns.

use crate::column::Path;
use crate::key::KeyFields;
use crate::lookup::{JoinPlan, Lookups};
use crate::refiner::{RefineError, Refiner, Start};
use crate::time::{TimeRule, is_time};
use crate::transform::{self, Transform};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use bourn_config::{Enrich, LatePolicy, Stream};
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
    pub joins: Vec<JoinPlan>,
    /// System columns, decoded columns, added columns.
    pub wide: SchemaRef,
    pub transform: Option<Transform>,
    pub table: SchemaRef,
    pub lookups: Lookups,
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
    let (joins, decoded) = plan_joins(&options, lookups, &mut faults);

    let mut fields: Vec<FieldRef> = system_fields().into_iter().map(Arc::new).collect();
    fields.extend(decoded);
    let wide = Arc::new(Schema::new(fields));
    let transform = options.transform_sql.as_deref().and_then(|sql| {
        transform::compile(sql, Arc::clone(&wide)).map_err(|mut found| faults.append(&mut found)).ok()
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    let table = table_schema(&wide, transform.as_ref());
    let lookups = lookups.clone();
    let inner = Stages { options, dedupe, time, joins, wide, transform, table, lookups };
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

/// The steps, and the decoded and added columns, `_extra` last.
fn plan_joins(
    options: &RefineOptions,
    lookups: &Lookups,
    faults: &mut Vec<PlanFault>,
) -> (Vec<JoinPlan>, Vec<FieldRef>) {
    let mut joins = Vec::new();
    let mut fields: Vec<FieldRef> = options.columns.fields().iter().cloned().collect();
    for (at, step) in options.settings.enrich.iter().enumerate() {
        let Enrich::Lookup(step) = step;
        let input = Schema::new(fields.clone());
        if let Some(join) = JoinPlan::new(step, at, &input, lookups, faults) {
            for field in &join.fields {
                if bourn_event_names().any(|name| name == field.name()) {
                    let message = format!("`{}` is Bourn's own", field.name());
                    let key = format!("enrich[{at}].lookup.take");
                    faults.push(PlanFault::new(key, message, "set `prefix`"));
                }
            }
            fields.extend(join.fields.iter().cloned());
            joins.push(join);
        }
    }
    (joins, fields)
}

fn bourn_event_names() -> impl Iterator<Item = &'static str> {
    bourn_event::SYSTEM_COLUMNS.iter().map(|column| column.name())
}

fn table_schema(wide: &Schema, transform: Option<&Transform>) -> SchemaRef {
    let extra = SystemColumn::Extra.name();
    let mut fields: Vec<FieldRef> = wide.fields()[..bourn_event::SYSTEM_COLUMNS.len()].to_vec();
    match transform {
        Some(transform) => fields.extend(transform.output().fields().iter().cloned()),
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
        Refiner::new(Arc::clone(&self.inner), start)
    }
}
