//! Tables that are read from the log: a blocking iterator behind a DataFusion table, with the
//! range of offsets, the time of receipt, the columns and the limit pushed down to it.

use crate::source::TableSource;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bourn_event::{Micros, Offset, SystemColumn};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Batches that wait between the reading thread and the query.
const READ_AHEAD_BATCHES: usize = 2;

/// What a scan has to read. It may give more rows than `offsets` and `received_at` ask for (the
/// query filters again), never fewer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Half-open.
    pub offsets: Range<Offset>,
    /// Half-open, in microseconds.
    pub received_at: Range<Micros>,
    /// Indexes of the wanted columns, in the order wanted; all of them if `None`. An empty one
    /// (a count) wants batches without columns that still tell their number of rows.
    pub projection: Option<Vec<usize>>,
    /// More rows than this are not used.
    pub limit: Option<usize>,
}

impl ScanRequest {
    /// Everything.
    pub fn all() -> Self {
        Self { offsets: 0..Offset::MAX, received_at: Micros::MIN..Micros::MAX, projection: None, limit: None }
    }
}

/// The rows of a scan, each batch with exactly the columns of the request's projection. Dropped
/// as soon as nobody wants more.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, String>> + Send>;

type Scan = dyn Fn(ScanRequest) -> Result<Batches, String> + Send + Sync;

/// A table that is read by a blocking iterator: `raw`, `bronze` and `rejects`.
#[derive(Clone)]
pub struct ScanSource {
    schema: SchemaRef,
    scan: Arc<Scan>,
}

impl ScanSource {
    /// `scan` is called once per execution, on a thread that may block, and so is its iterator.
    pub fn new(
        schema: SchemaRef,
        scan: impl Fn(ScanRequest) -> Result<Batches, String> + Send + Sync + 'static,
    ) -> Self {
        Self { schema, scan: Arc::new(scan) }
    }
}

impl fmt::Debug for ScanSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanSource")
    }
}

#[async_trait]
impl TableSource for ScanSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, String> {
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl TableProvider for ScanSource {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| {
            let mut request = ScanRequest::all();
            narrow(&mut request, filter);
            match request == ScanRequest::all() {
                true => TableProviderFilterPushDown::Unsupported,
                false => TableProviderFilterPushDown::Inexact,
            }
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut request = ScanRequest { projection: projection.cloned(), limit, ..ScanRequest::all() };
        filters.iter().for_each(|filter| narrow(&mut request, filter));
        let schema = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => self.schema.clone(),
        };
        let partition = Partition { schema: schema.clone(), request, scan: self.scan.clone() };
        let partitions: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(partition)];
        Ok(Arc::new(StreamingTableExec::try_new(schema, partitions, None, [], false, limit)?))
    }
}

struct Partition {
    schema: SchemaRef,
    request: ScanRequest,
    scan: Arc<Scan>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.request.fmt(f)
    }
}

impl PartitionStream for Partition {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStreamBuilder::new(self.schema.clone(), READ_AHEAD_BATCHES);
        let (sender, scan, request) = (stream.tx(), self.scan.clone(), self.request.clone());
        stream.spawn_blocking(move || {
            for batch in scan(request).map_err(DataFusionError::Execution)? {
                // The receiver is gone when the query ended, failed or was cancelled.
                if sender.blocking_send(batch.map_err(DataFusionError::Execution)).is_err() {
                    break;
                }
            }
            Ok(())
        });
        stream.build()
    }
}

/// Narrows the request by a filter, as far as the filter bounds `_offset` or `_received_at`.
fn narrow(request: &mut ScanRequest, filter: &Expr) {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            narrow(request, left);
            narrow(request, right);
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (column(left), column(right)) {
            (Some(name), None) => bound(request, name, *op, right),
            (None, Some(name)) => op.swap().into_iter().for_each(|op| bound(request, name, op, left)),
            _ => {}
        },
        Expr::Between(between) if !between.negated => {
            if let Some(name) = column(&between.expr) {
                bound(request, name, Operator::GtEq, &between.low);
                bound(request, name, Operator::LtEq, &between.high);
            }
        }
        _ => {}
    }
}

fn column(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Column(column) => Some(column.name()),
        _ => None,
    }
}

fn bound(request: &mut ScanRequest, name: &str, op: Operator, value: &Expr) {
    let Expr::Literal(value, _) = value else { return };
    if name == SystemColumn::Offset.name() {
        let Some(value) = integer(value) else { return };
        let clamp = |value: i64| Offset::try_from(value).unwrap_or(0);
        let (from, to) = match op {
            Operator::Eq => (clamp(value), clamp(value.saturating_add(1))),
            Operator::Gt => (clamp(value.saturating_add(1)), Offset::MAX),
            Operator::GtEq => (clamp(value), Offset::MAX),
            Operator::Lt => (0, clamp(value)),
            Operator::LtEq => (0, clamp(value.saturating_add(1))),
            _ => return,
        };
        cut(&mut request.offsets, from, to);
    } else if name == SystemColumn::ReceivedAt.name() {
        let Some(value) = micros(value) else { return };
        let (from, to) = match op {
            Operator::Eq => (value, value.saturating_add(1)),
            // A moment in nanoseconds was rounded down: `>` must keep its microsecond.
            Operator::Gt | Operator::GtEq => (value, Micros::MAX),
            Operator::Lt | Operator::LtEq => (Micros::MIN, value.saturating_add(1)),
            _ => return,
        };
        cut(&mut request.received_at, from, to);
    }
}

fn cut<T: Ord + Copy>(range: &mut Range<T>, from: T, to: T) {
    range.start = range.start.max(from);
    range.end = range.end.min(to);
}

fn integer(value: &ScalarValue) -> Option<i64> {
    match value {
        ScalarValue::Int64(value) => *value,
        ScalarValue::UInt64(value) => value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)),
        ScalarValue::Int32(value) => value.map(i64::from),
        _ => None,
    }
}

fn micros(value: &ScalarValue) -> Option<Micros> {
    match value {
        ScalarValue::TimestampSecond(value, _) => value.and_then(|v| v.checked_mul(1_000_000)),
        ScalarValue::TimestampMillisecond(value, _) => value.and_then(|v| v.checked_mul(1_000)),
        ScalarValue::TimestampMicrosecond(value, _) => *value,
        ScalarValue::TimestampNanosecond(value, _) => value.map(|v| v.div_euclid(1_000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::prelude::{col, lit};

    fn time(micros: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
    }

    #[test]
    fn filters_narrow_the_request() {
        let offset = || col("_offset");
        let received = || col("_received_at");
        let all = ScanRequest::all();
        let offsets = |offsets| ScanRequest { offsets, ..ScanRequest::all() };
        let times = |received_at| ScanRequest { received_at, ..ScanRequest::all() };
        let cases = [
            (offset().gt_eq(lit(10_i64)), offsets(10..u64::MAX)),
            (offset().gt(lit(10_i64)), offsets(11..u64::MAX)),
            (offset().lt(lit(10_i64)), offsets(0..10)),
            (offset().lt_eq(lit(10_i64)), offsets(0..11)),
            (offset().eq(lit(10_i64)), offsets(10..11)),
            (lit(10_i64).lt(offset()), offsets(11..u64::MAX)),
            (offset().between(lit(3_i64), lit(5_i64)), offsets(3..6)),
            (offset().gt(lit(1_i64)).and(offset().lt(lit(9_i64))), offsets(2..9)),
            (offset().gt(lit(1_i64)).or(offset().lt(lit(9_i64))), all.clone()),
            (offset().lt(lit(-1_i64)), offsets(0..0)),
            (offset().not_eq(lit(4_i64)), all.clone()),
            (offset().gt(col("other")), all.clone()),
            (col("other").gt(lit(4_i64)), all.clone()),
            (received().gt_eq(time(5)), times(5..i64::MAX)),
            (received().lt(time(5)), times(i64::MIN..6)),
            (received().between(time(5), time(7)), times(5..8)),
        ];
        for (filter, expected) in cases {
            let mut request = ScanRequest::all();
            narrow(&mut request, &filter);
            assert_eq!(request, expected, "{filter}");
        }
    }
}
