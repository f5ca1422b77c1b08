//! Counting a table from its files, for `bourn ledger --prove`.

use crate::LakeError;
use crate::files::{DataFile, data_files};
use crate::handle::Handle;
use crate::partition::{count_runs, offsets};
use crate::rewrite::read;
use crate::shape::Shape;
use crate::table::Table;
use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bourn_event::{Offset, SystemColumn};
use deltalake_core::table::state::DeltaTableState;
use futures::StreamExt;
use roaring::RoaringTreemap;
use std::collections::BTreeMap;
use std::ops::Range;

/// What the files of a table's committed state hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recount {
    /// Rows by source.
    pub stored: BTreeMap<String, u64>,
    /// Offsets that are stored.
    pub offsets: RoaringTreemap,
    /// Rows whose offset was counted before: 0 unless G3 is broken.
    pub repeated: u64,
    /// The Delta version that was counted.
    pub version: i64,
}

/// Counts the rows of `state` with an offset in `range`.
pub(crate) async fn recount(
    handle: &Handle,
    state: &DeltaTableState,
    shape: &Shape,
    range: Range<Offset>,
) -> Result<Recount, LakeError> {
    let mut total = Recount { version: state.version() as i64, ..Recount::default() };
    for file in data_files(state) {
        if file.offsets.is_none_or(|(first, last)| first < range.end && last >= range.start) {
            count_file(handle, &file, shape, &range, &mut total).await?;
        }
    }
    Ok(total)
}

/// Adds one file's rows to `total`.
pub(crate) async fn count_file(
    handle: &Handle,
    file: &DataFile,
    shape: &Shape,
    range: &Range<Offset>,
    total: &mut Recount,
) -> Result<(), LakeError> {
    let columns = [SystemColumn::Offset.name(), SystemColumn::Source.name()];
    let broken = |e: &str| LakeError::broken(&handle.name, &file.path, e);
    let mut rows = read(handle, file, shape, Some(&columns)).await?;
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        let offsets = offsets(&batch).ok_or_else(|| broken("it has no `_offset`"))?;
        let sources = batch.column_by_name(columns[1]).ok_or_else(|| broken("it has no `_source`"))?;
        let sources = cast(sources, &DataType::Utf8).map_err(|e| broken(&e.to_string()))?;
        let sources = sources.as_string::<i32>();
        let whole = offsets.values().iter().all(|o| range.contains(&(*o as Offset)));
        for offset in offsets.values().iter().map(|o| *o as Offset).filter(|o| range.contains(o)) {
            if !total.offsets.insert(offset) {
                total.repeated += 1;
            }
        }
        if whole {
            count_runs(sources, |source, n| *total.stored.entry(source.into()).or_default() += n);
            continue;
        }
        for row in (0..sources.len()).filter(|&row| range.contains(&(offsets.value(row) as Offset))) {
            *total.stored.entry(sources.value(row).into()).or_default() += 1;
        }
    }
    Ok(())
}

impl Table {
    /// Counts the committed rows from the files themselves.
    pub async fn recount(&self) -> Result<Recount, LakeError> {
        self.recount_range(0..Offset::MAX).await
    }

    /// Counts the committed rows with an offset in `range`.
    pub async fn recount_range(&self, range: Range<Offset>) -> Result<Recount, LakeError> {
        let (state, shape) = (self.shared.state(), self.shared.shape());
        recount(&self.shared.handle, &state, &shape, range).await
    }
}
