//! Enrich and transform at work: the rows that are left of a batch, through every step, into the table's columns.

use crate::lookup::{Join, Lookups};
use crate::outside::{Answered, FunctionPlan, HttpCall, rest};
use crate::plan::{StepPlan, Transforming};
use crate::refiner::{Outcomes, RefineError, Refiner, SpanOf};
use crate::transform::Transform;
use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{take, take_record_batch};
use arrow::datatypes::{FieldRef, Schema};
use arrow::error::ArrowError;
use bourn_config::{FunctionFailure, MissingKey};
use bourn_event::{Decoded, Fault, Offset, Outcome, RejectReason, SystemColumn};
use futures::executor::block_on;
use std::sync::Arc;

/// A step with what it holds between batches.
pub(crate) enum Step {
    Join(Box<Join>),
    Function(FunctionPlan, FunctionFailure),
    Http(Box<HttpCall>),
}

impl Step {
    pub fn new(plan: &StepPlan, lookups: &Lookups) -> Result<Self, ArrowError> {
        Ok(match plan {
            StepPlan::Join(plan) => Self::Join(Box::new(Join::new(plan.clone(), lookups)?)),
            StepPlan::Function(plan, on_failure) => Self::Function(plan.clone(), *on_failure),
            StepPlan::Http(plan) => Self::Http(Box::new(HttpCall::new((**plan).clone()))),
        })
    }

    /// Takes the newest rows of a lookup.
    pub fn refresh(&mut self, lookups: &Lookups) -> Result<(), ArrowError> {
        match self {
            Self::Join(join) => join.refresh(lookups),
            Self::Function(..) | Self::Http(_) => Ok(()),
        }
    }
}

/// Rows of a batch on their way through the steps.
struct Passing {
    /// Which of the batch's rows they are, ascending; `None` for all.
    rows: Option<UInt32Array>,
    columns: RecordBatch,
}

impl Passing {
    fn row_of(&self, at: u32) -> u32 {
        self.rows.as_ref().map_or(at, |rows| rows.value(at as usize))
    }

    fn offsets(&self, batch: &Decoded) -> Vec<Offset> {
        (0..self.columns.num_rows() as u32).map(|at| batch.offset_of(self.row_of(at) as usize)).collect()
    }

    /// Keeps those at these places.
    fn keep(&mut self, places: &UInt32Array) -> Result<(), ArrowError> {
        self.columns = take_record_batch(&self.columns, places)?;
        self.rows = Some(match &self.rows {
            None => places.clone(),
            Some(rows) => take(rows, places, None)?.as_primitive().clone(),
        });
        Ok(())
    }

    fn append(&mut self, fields: &[FieldRef], added: Vec<ArrayRef>) -> Result<(), ArrowError> {
        let schema = self.columns.schema();
        let fields: Vec<_> = schema.fields().iter().chain(fields).cloned().collect();
        let columns = self.columns.columns().iter().cloned().chain(added).collect();
        self.columns = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        Ok(())
    }
}

impl Refiner {
    /// Enrich and transform, for the candidates.
    pub(crate) fn stage(
        &self,
        batch: &Decoded,
        candidates: Option<UInt32Array>,
        outcomes: &mut Outcomes,
    ) -> Result<(), RefineError> {
        let columns = match &candidates {
            None => batch.columns.clone(),
            Some(rows) if rows.is_empty() => return Ok(()),
            Some(rows) => take_record_batch(&batch.columns, rows)?,
        };
        let mut passing = Passing { rows: candidates, columns };
        for step in &self.steps {
            match step {
                Step::Join(join) => enrich_by_lookup(join, &mut passing, outcomes)?,
                // There is nobody to ask for nothing.
                _ if passing.columns.num_rows() == 0 => add_no_rows(step, &mut passing)?,
                Step::Function(plan, on_failure) => {
                    let offsets = passing.offsets(batch);
                    let mut answered = block_on(plan.call(&*self.outside, &passing.columns, &offsets))?;
                    if *on_failure == FunctionFailure::Null {
                        answered.failed.clear();
                    }
                    take_answers(plan.fields(), answered, RejectReason::Function, &mut passing, outcomes)?;
                }
                Step::Http(call) => {
                    let answered = block_on(call.call(&*self.outside, &passing.columns))?;
                    take_answers(call.plan.fields(), answered, RejectReason::Http, &mut passing, outcomes)?;
                }
            }
        }
        let part = match &self.stages.transform {
            None => self.narrow(&self.widen(batch, &passing)?)?,
            Some(Transforming::Sql(transform)) => self.transform(transform, batch, &passing, outcomes)?,
            Some(Transforming::Function(plan)) => self.transform_by_call(plan, batch, passing, outcomes)?,
        };
        outcomes.parts.push(part);
        Ok(())
    }

    fn transform(
        &self,
        transform: &Transform,
        batch: &Decoded,
        passing: &Passing,
        outcomes: &mut Outcomes,
    ) -> Result<RecordBatch, RefineError> {
        let wide = self.widen(batch, passing)?;
        let evaluated = transform.evaluate(&wide)?;
        let failed = evaluated.failed.iter();
        outcomes.faults.extend(failed.clone().map(|(at, message)| {
            (passing.row_of(*at), Fault::new(RejectReason::Transform, message.clone()))
        }));
        if let Some(kept) = &evaluated.rows {
            let mut ends = vec![false; wide.num_rows()];
            kept.values().iter().for_each(|at| ends[*at as usize] = true);
            failed.for_each(|(at, _)| ends[*at as usize] = true);
            let filtered = (0..ends.len() as u32).filter(|at| !ends[*at as usize]);
            outcomes.drops.extend(filtered.map(|at| (passing.row_of(at), Outcome::Filtered, None)));
        }
        self.table_rows(&wide, evaluated.rows.as_ref(), evaluated.columns.columns())
    }

    fn transform_by_call(
        &self,
        plan: &FunctionPlan,
        batch: &Decoded,
        passing: Passing,
        outcomes: &mut Outcomes,
    ) -> Result<RecordBatch, RefineError> {
        let count = passing.columns.num_rows();
        if count == 0 {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.stages.table)));
        }
        let offsets = passing.offsets(batch);
        let answered = block_on(plan.call(&*self.outside, &passing.columns, &offsets))?;
        let gone = answered.absent.iter().copied().chain(answered.failed.iter().map(|(at, _)| *at));
        let kept = rest(count, gone);
        outcomes
            .drops
            .extend(answered.absent.iter().map(|at| (passing.row_of(*at), Outcome::Filtered, None)));
        outcomes.faults.extend(
            answered
                .failed
                .into_iter()
                .map(|(at, message)| (passing.row_of(at), Fault::new(RejectReason::Function, message))),
        );
        let columns = match &kept {
            None => answered.columns,
            Some(kept) => {
                answered.columns.iter().map(|column| take(column, kept, None)).collect::<Result<_, _>>()?
            }
        };
        self.table_rows(&self.widen(batch, &passing)?, kept.as_ref(), &columns)
    }

    /// The system columns of the wide batch's kept rows, the transform's columns, `_extra`.
    fn table_rows(
        &self,
        wide: &RecordBatch,
        kept: Option<&UInt32Array>,
        transformed: &[ArrayRef],
    ) -> Result<RecordBatch, RefineError> {
        let own = bourn_event::SYSTEM_COLUMNS.len();
        let mut automatic: Vec<ArrayRef> = wide.columns()[..own].to_vec();
        automatic.extend(wide.column_by_name(SystemColumn::Extra.name()).cloned());
        if let Some(kept) = kept {
            automatic = automatic.iter().map(|column| take(column, kept, None)).collect::<Result<_, _>>()?;
        }
        let extra = automatic.split_off(own);
        automatic.extend(transformed.iter().cloned());
        automatic.extend(extra);
        Ok(RecordBatch::try_new(Arc::clone(&self.stages.table), automatic)?)
    }

    /// Puts the system columns before the decoded and added ones.
    fn widen(&self, batch: &Decoded, passing: &Passing) -> Result<RecordBatch, RefineError> {
        let (rows, decoded) = (passing.rows.as_ref(), &passing.columns);
        let count = decoded.num_rows();
        let first = batch.first_offset as i64;
        let offsets: Vec<i64> = match (rows, &batch.offsets) {
            (None, None) => (first..first + count as i64).collect(),
            (Some(rows), None) => rows.values().iter().map(|row| first + i64::from(*row)).collect(),
            (None, Some(offsets)) => offsets.iter().map(|offset| *offset as i64).collect(),
            (Some(rows), Some(offsets)) => {
                rows.values().iter().map(|row| offsets[*row as usize] as i64).collect()
            }
        };
        let received = TimestampMicrosecondArray::from(vec![batch.received_at; count]).with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(offsets)),
            Arc::new(Int32Array::from(vec![self.stages.options.partition; count])),
            Arc::new(received),
            Arc::new(sources(batch, rows, count)?),
        ];
        columns.extend(decoded.columns().iter().cloned());
        Ok(RecordBatch::try_new(Arc::clone(&self.stages.wide), columns)?)
    }

    /// The table's columns of a wide batch: `_extra` goes last.
    fn narrow(&self, wide: &RecordBatch) -> Result<RecordBatch, RefineError> {
        let columns = self.stages.table.fields().iter();
        let columns = columns.filter_map(|field| wide.column_by_name(field.name()).cloned()).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.stages.table), columns)?)
    }
}

fn enrich_by_lookup(join: &Join, passing: &mut Passing, outcomes: &mut Outcomes) -> Result<(), RefineError> {
    let mut found = join.rows_of(&passing.columns)?;
    if join.plan.missing == MissingKey::Reject && found.null_count() > 0 {
        let (table, key) = (&join.plan.table, join.plan.key_names());
        let missing = (0..found.len() as u32).filter(|at| found.is_null(*at as usize));
        for at in missing.clone() {
            let message = format!("the lookup `{table}` has no row for its {key}");
            outcomes.faults.push((passing.row_of(at), Fault::new(RejectReason::Lookup, message)));
        }
        if let Some(kept) = rest(found.len(), missing) {
            passing.keep(&kept)?;
            found = take(&found, &kept, None)?.as_primitive().clone();
        }
    }
    passing.append(&join.plan.fields, join.columns(&found)?)?;
    Ok(())
}

/// Adds the answered columns; rows that failed end as rejects.
fn take_answers(
    fields: &[FieldRef],
    answered: Answered,
    reason: RejectReason,
    passing: &mut Passing,
    outcomes: &mut Outcomes,
) -> Result<(), RefineError> {
    passing.append(fields, answered.columns)?;
    let kept = rest(passing.columns.num_rows(), answered.failed.iter().map(|(at, _)| *at));
    let faults = answered.failed.into_iter().map(|(at, why)| (passing.row_of(at), Fault::new(reason, why)));
    outcomes.faults.extend(faults);
    if let Some(kept) = kept {
        passing.keep(&kept)?;
    }
    Ok(())
}

fn add_no_rows(step: &Step, passing: &mut Passing) -> Result<(), RefineError> {
    let fields = match step {
        Step::Join(join) => &join.plan.fields[..],
        Step::Function(plan, _) => plan.fields(),
        Step::Http(call) => call.plan.fields(),
    };
    let columns = fields.iter().map(|field| arrow::array::new_empty_array(field.data_type())).collect();
    passing.append(fields, columns)?;
    Ok(())
}

/// `_source`, a run of equal texts a span.
fn sources(batch: &Decoded, rows: Option<&UInt32Array>, count: usize) -> Result<StringArray, ArrowError> {
    let mut lengths = vec![0usize; batch.spans.len()];
    match rows {
        None => lengths.iter_mut().zip(batch.spans.iter()).for_each(|(n, span)| *n = span.count as usize),
        Some(rows) => {
            let mut place = SpanOf::default();
            for row in rows.values() {
                lengths[place.of(batch, *row)] += 1;
            }
        }
    }
    if lengths.iter().sum::<usize>() != count {
        return Err(ArrowError::InvalidArgumentError("the spans do not cover the batch".to_owned()));
    }
    let mut offsets = Vec::with_capacity(count + 1);
    let mut text = Vec::new();
    offsets.push(0i32);
    for (span, n) in batch.spans.iter().zip(lengths) {
        for _ in 0..n {
            text.extend_from_slice(span.source.as_bytes());
            offsets.push(text.len() as i32);
        }
    }
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(text), None)
}
