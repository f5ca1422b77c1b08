//! Event time: which events lie too far ahead, and which came late.
//!
//! The stream's event time is the largest seen, of all events but those too far ahead, duplicates
//! and rejects included: so it depends on nothing but the log.

use crate::column::{Path, timestamp};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::{cast, max, min};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bourn_event::Micros;

/// What is wrong with an event's time. Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFault {
    Future { event_time: Micros },
    Late { event_time: Micros, event_time_max: Micros },
}

/// Types an event time may have.
pub fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Int64)
}

#[derive(Clone, Debug)]
pub struct TimeRule {
    pub path: Path,
    pub lateness: Micros,
    pub max_future: Micros,
    /// Late events are stored as any other: then nobody needs to look for them.
    pub stores_late: bool,
}

impl TimeRule {
    /// Judges the rows in order and advances `event_time_max`. Appends `(row, fault)`; events
    /// without a time have none.
    pub fn judge(
        &self,
        batch: &RecordBatch,
        received_at: Micros,
        event_time_max: &mut Option<Micros>,
        faults: &mut Vec<(u32, TimeFault)>,
    ) -> Result<(), ArrowError> {
        let values = self.path.values(batch);
        let times = match values.data_type() {
            DataType::Int64 => {
                // Epoch milliseconds; what overflows lies in neither age.
                let millis = values.as_primitive::<Int64Type>();
                millis.unary::<_, TimestampMicrosecondType>(|ms| ms.saturating_mul(1000))
            }
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
                values.as_primitive::<TimestampMicrosecondType>().clone()
            }
            _ => cast(&values, &timestamp())?.as_primitive::<TimestampMicrosecondType>().clone(),
        };
        let (Some(earliest), Some(latest)) = (min(&times), max(&times)) else { return Ok(()) };
        let horizon = received_at.saturating_add(self.max_future);
        let newest = event_time_max.map_or(latest, |seen| seen.max(latest));
        if latest <= horizon && (self.stores_late || earliest >= newest.saturating_sub(self.lateness)) {
            *event_time_max = Some(newest);
            return Ok(());
        }
        for (row, time) in times.iter().enumerate() {
            let Some(event_time) = time else { continue };
            let row = row as u32;
            if event_time > horizon {
                faults.push((row, TimeFault::Future { event_time }));
                continue;
            }
            match *event_time_max {
                Some(seen) if !self.stores_late && event_time < seen.saturating_sub(self.lateness) => {
                    faults.push((row, TimeFault::Late { event_time, event_time_max: seen }));
                }
                Some(seen) if event_time <= seen => {}
                _ => *event_time_max = Some(event_time),
            }
        }
        Ok(())
    }
}
