//! Evaluates a compiled transform. A row that cannot be evaluated is found by halving the batch,
//! and costs only itself.

use super::sql::clean;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{
    CastOptions, cast_with_options, concat_batches, filter_record_batch, prep_null_mask_filter, take,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result as DataFusionResult};
use datafusion::physical_expr::PhysicalExpr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// One step of a transform, over the columns of the step before.
pub enum Step {
    /// Keeps the rows for which it is true.
    Filter(Arc<dyn PhysicalExpr>),
    Project(Vec<(Arc<dyn PhysicalExpr>, String)>),
}

/// A compiled SELECT.
pub struct Transform {
    steps: Vec<Step>,
    /// Which of the last step's columns are the output's.
    taken: Vec<usize>,
    output: SchemaRef,
}

/// What became of a batch's rows.
#[derive(Debug)]
pub struct Evaluated {
    /// The output of the rows in `rows`.
    pub columns: RecordBatch,
    /// The batch's rows that have output, ascending; `None` if all have.
    pub rows: Option<UInt32Array>,
    /// Rows that could not be evaluated, ascending, and why.
    pub failed: Vec<(u32, String)>,
}

struct Part {
    columns: RecordBatch,
    /// The kept rows, counted from the part's first; `None` for all.
    rows: Option<UInt32Array>,
}

impl Transform {
    pub(super) fn new(steps: Vec<Step>, taken: Vec<usize>, output: SchemaRef) -> Self {
        Self { steps, taken, output }
    }

    /// The columns it gives, without the automatic ones.
    pub fn output(&self) -> &SchemaRef {
        &self.output
    }

    pub fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<Evaluated> {
        if let Ok(part) = self.attempt(batch) {
            return Ok(Evaluated { columns: part.columns, rows: part.rows, failed: Vec::new() });
        }
        let (mut parts, mut failed) = (Vec::new(), Vec::new());
        self.halve(batch, 0, &mut parts, &mut failed);
        let batches: Vec<&RecordBatch> = parts.iter().map(|(_, part)| &part.columns).collect();
        let columns = concat_batches(&self.output, batches)?;
        let mut rows = Vec::with_capacity(columns.num_rows());
        for (first, part) in &parts {
            match &part.rows {
                None => rows.extend(*first..first + part.columns.num_rows() as u32),
                Some(kept) => rows.extend(kept.values().iter().map(|row| first + row)),
            }
        }
        Ok(Evaluated { columns, rows: Some(rows.into()), failed })
    }

    fn halve(
        &self,
        batch: &RecordBatch,
        first: u32,
        parts: &mut Vec<(u32, Part)>,
        failed: &mut Vec<(u32, String)>,
    ) {
        match self.attempt(batch) {
            Ok(part) => parts.push((first, part)),
            Err(message) if batch.num_rows() <= 1 => failed.push((first, message)),
            Err(_) => {
                let middle = batch.num_rows() / 2;
                self.halve(&batch.slice(0, middle), first, parts, failed);
                let rest = batch.slice(middle, batch.num_rows() - middle);
                self.halve(&rest, first + middle as u32, parts, failed);
            }
        }
    }

    /// Evaluates the batch whole; a panic in a function is an error like any other.
    fn attempt(&self, batch: &RecordBatch) -> Result<Part, String> {
        match catch_unwind(AssertUnwindSafe(|| self.run(batch))) {
            Ok(Ok(part)) => Ok(part),
            Ok(Err(error)) => Err(clean(&error.strip_backtrace())),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
                Err(format!("the transform broke on this event: {text}"))
            }
        }
    }

    fn run(&self, batch: &RecordBatch) -> DataFusionResult<Part> {
        let mut current = batch.clone();
        let mut rows: Option<UInt32Array> = None;
        for step in &self.steps {
            match step {
                Step::Filter(predicate) => {
                    let mask = predicate.evaluate(&current)?.into_array(current.num_rows())?;
                    let Some(mask) = mask.as_boolean_opt() else {
                        return Err(DataFusionError::Execution("WHERE is not true or false".to_owned()));
                    };
                    let mask = match mask.null_count() {
                        0 => mask.clone(),
                        _ => prep_null_mask_filter(mask),
                    };
                    if mask.true_count() == mask.len() {
                        continue;
                    }
                    let kept: UInt32Array = mask.values().set_indices_u32().collect::<Vec<u32>>().into();
                    current = filter_record_batch(&current, &mask)?;
                    rows = Some(match rows {
                        None => kept,
                        Some(before) => take(&before, &kept, None)?.as_primitive().clone(),
                    });
                }
                Step::Project(exprs) => current = project(&current, exprs)?,
            }
        }
        let columns =
            self.taken.iter().zip(self.output.fields()).map(|(at, field)| store(current.column(*at), field));
        let columns = columns.collect::<DataFusionResult<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(current.num_rows()));
        let columns = RecordBatch::try_new_with_options(Arc::clone(&self.output), columns, &options)?;
        Ok(Part { columns, rows })
    }
}

fn project(batch: &RecordBatch, exprs: &[(Arc<dyn PhysicalExpr>, String)]) -> DataFusionResult<RecordBatch> {
    let (mut fields, mut columns) = (Vec::with_capacity(exprs.len()), Vec::with_capacity(exprs.len()));
    for (expr, name) in exprs {
        let column = expr.evaluate(batch)?.into_array(batch.num_rows())?;
        fields.push(Field::new(name, column.data_type().clone(), true));
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn store(column: &ArrayRef, field: &Field) -> DataFusionResult<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    Ok(cast_with_options(column, field.data_type(), &options)?)
}
