//! Opening a lake and its tables: creating them, resuming them, and fitting them to a definition
//! that changed.

use crate::LakeError;
use crate::actions::{Action, Format, MetaData, Protocol, Settled};
use crate::commit::{Intent, commit};
use crate::files::data_files;
use crate::handle::Handle;
use crate::log;
use crate::options::{Health, TableOptions};
use crate::reader::TableReader;
use crate::rewrite::Rewriter;
use crate::schema::{self, Misfit};
use crate::shape::Shape;
use crate::store::{self, Place};
use crate::table::{Inner, Maintained, Shared, Table};
use crate::tail::Tail;
use arrow::datatypes::Schema;
use bourn_config::{Partition, Storage};
use deltalake_core::table::state::DeltaTableState;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// Table property that keeps how partition columns are made.
const PARTITION_BY: &str = "bourn.partitionBy";
/// Versions between checkpoints.
pub(crate) const CHECKPOINT_EVERY: i64 = 50;

/// A place with tables. Maintenance runs one at a time in all of it.
pub struct Lake {
    place: Place,
    maintenance: Arc<tokio::sync::Mutex<()>>,
}

impl Lake {
    /// Opens the lake that `storage` names; a relative folder lies in `base` and is created.
    pub fn open(storage: &Storage, base: &Path) -> Result<Arc<Self>, LakeError> {
        Ok(Self::at(store::open(storage, base, true)?))
    }

    /// Opens a lake without creating anything, for readers beside or without its owner.
    pub fn open_read_only(storage: &Storage, base: &Path) -> Result<Arc<Self>, LakeError> {
        Ok(Self::at(store::open(storage, base, false)?))
    }

    /// A lake in any object store; see [`Place`].
    pub fn at(place: Place) -> Arc<Self> {
        Arc::new(Self { place, maintenance: Arc::default() })
    }

    /// Opens a table for its one writer, creating it or fitting it to the definition by the
    /// schema policy. Must be called within a multi-threaded tokio runtime.
    ///
    /// Errors: [`LakeError::Schema`] with the way out when the definition does not fit,
    /// [`LakeError::Unavailable`] when the store does not answer.
    pub async fn table(&self, options: TableOptions) -> Result<Arc<Table>, LakeError> {
        let handle = Handle::new(&self.place, &options.name)?;
        let wanted = Shape::defined(&options.schema, &options.partition_by).map_err(|problem| {
            let way_out = "Mend `partition_by` or the columns".into();
            LakeError::Schema { table: options.name.clone(), problem, way_out }
        })?;
        let mut listing = log::list(&handle).await?;
        if listing.commits.is_empty() && listing.checkpoint.is_none() {
            create(&handle, &wanted, &options).await?;
            listing = log::list(&handle).await?;
        }
        let state = handle.load(None).await?;
        let settled = Settled::from_txns(&log::transactions(&handle, &listing, None).await?);
        let (state, shape) = fit(&handle, state, wanted, &options).await?;
        let checkpoint = listing.checkpoint.as_ref().map_or(0, |(version, _)| *version);
        let offset = settled.offset;
        Ok(Table::start(Shared {
            inner: parking_lot::Mutex::new(Inner {
                state: Arc::new(state),
                shape: Arc::new(shape),
                settled,
                tail: Tail::default(),
                pushed: offset,
                since: None,
                flush_to: 0,
                closing: false,
                health: Health::default(),
            }),
            handle,
            options,
            commit_lock: Default::default(),
            maintenance: self.maintenance.clone(),
            before_commit: Default::default(),
            visible: watch::Sender::new(offset),
            committed: watch::Sender::new(offset),
            wake: Default::default(),
            room: Default::default(),
            pending: Default::default(),
            reports: Default::default(),
            maintained: parking_lot::Mutex::new(Maintained { checkpoint, ..Maintained::default() }),
        }))
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Opens a table without ever writing to it. [`LakeError::NoTable`] if there is none.
    pub async fn reader(&self, name: &str) -> Result<Arc<TableReader>, LakeError> {
        TableReader::open(Handle::new(&self.place, name)?).await
    }
}

fn table_properties(options: &TableOptions) -> BTreeMap<String, String> {
    let keep = options.compaction.vacuum_after.0.as_secs().max(3600);
    let partitions: Vec<String> = options.partition_by.iter().map(Partition::to_string).collect();
    BTreeMap::from([
        ("delta.checkpointInterval".into(), CHECKPOINT_EVERY.to_string()),
        ("delta.logRetentionDuration".into(), format!("interval {keep} seconds")),
        ("delta.deletedFileRetentionDuration".into(), format!("interval {keep} seconds")),
        ("delta.dataSkippingNumIndexedCols".into(), crate::encode::STATISTICS_COLUMNS.to_string()),
        (PARTITION_BY.into(), partitions.join(",")),
    ])
}

/// The `metaData` action of a shape; `id` stays through a table's life.
pub(crate) fn meta_data(shape: &Shape, options: &TableOptions, id: String, now_ms: i64) -> Action {
    let mut options = options.clone();
    options.partition_by = shape.partitions.clone();
    Action::from(MetaData {
        id,
        name: Some(options.name.replace('/', ".")),
        description: None,
        format: Format { provider: "parquet".into(), options: BTreeMap::new() },
        schema_string: schema::delta_schema(&shape.table),
        partition_columns: shape.partition_columns.clone(),
        configuration: table_properties(&options),
        created_time: Some(now_ms),
    })
}

async fn create(handle: &Handle, shape: &Shape, options: &TableOptions) -> Result<(), LakeError> {
    let now_ms = options.clock.now().div_euclid(1000);
    let protocol = Action::from(Protocol { min_reader_version: 1, min_writer_version: 2 });
    let meta_data = meta_data(shape, options, Uuid::new_v4().to_string(), now_ms);
    let intent = Intent::new("CREATE TABLE", vec![protocol, meta_data], now_ms);
    match commit(handle, -1, &intent).await {
        // Somebody created it at the same moment: theirs counts.
        Ok(_) | Err(LakeError::Conflict { .. }) => Ok(()),
        Err(e) => Err(e),
    }
}

/// How the table's partition columns are made, as it was told when they were chosen.
pub(crate) fn stored_partitions(state: &DeltaTableState) -> Vec<Partition> {
    let configuration = state.metadata().configuration();
    match configuration.get(PARTITION_BY) {
        Some(text) => text.split(',').filter_map(|p| Partition::parse(p).ok()).collect(),
        None => {
            state.metadata().partition_columns().iter().filter_map(|p| Partition::parse(p).ok()).collect()
        }
    }
}

pub(crate) fn stored_shape(state: &DeltaTableState, frozen: Vec<String>) -> Shape {
    Shape::new(state.snapshot().arrow_schema(), stored_partitions(state), frozen)
}

/// Fits a table to its definition: decides by the policy, then commits what has to change.
async fn fit(
    handle: &Handle,
    state: DeltaTableState,
    wanted: Shape,
    options: &TableOptions,
) -> Result<(DeltaTableState, Shape), LakeError> {
    let have = stored_shape(&state, Vec::new());
    if options.as_is {
        return Ok((state, have));
    }
    let misfit = |m: Misfit| LakeError::Schema {
        table: handle.name.to_string(),
        problem: m.problem,
        way_out: m.way_out,
    };
    if have.partitions != options.partition_by {
        let show =
            |p: &[Partition]| format!("[{}]", p.iter().map(|p| p.to_string()).collect::<Vec<_>>().join(", "));
        return Err(misfit(Misfit {
            problem: format!(
                "it is partitioned by {} and the definition says {}",
                show(&have.partitions),
                show(&options.partition_by)
            ),
            way_out: "Run `bourn replay` to rebuild the table from the log under the new definition".into(),
        }));
    }
    let table = kept(&have.table);
    let met = schema::reconcile(&table, &wanted.table, options.policy).map_err(misfit)?;
    if !met.changed {
        let shape = stored_shape(&state, met.frozen);
        return Ok((state, shape));
    }
    let target = Shape::new(met.schema.clone(), have.partitions.clone(), Vec::new());
    let now_ms = options.clock.now().div_euclid(1000);
    let mut actions = vec![meta_data(&target, options, state.metadata().id().to_string(), now_ms)];
    if met.rewrite {
        let files = data_files(&state);
        let mut rewriter =
            Rewriter::new(handle.clone(), Arc::new(target), options.compaction.clone(), now_ms);
        for file in &files {
            rewriter.copy(file, &have, |_| true).await?;
            actions.push(file.remove(true, now_ms));
        }
        actions.extend(rewriter.finish().await?.into_iter().map(Action::from));
    }
    let intent = Intent::new("CHANGE COLUMNS", actions, now_ms);
    commit(handle, state.version() as i64, &intent).await?;
    let state = handle.refresh(&state).await?;
    let shape = stored_shape(&state, met.frozen);
    Ok((state, shape))
}

/// The table's columns in the types that definitions are compared in.
fn kept(table: &Schema) -> Schema {
    let fields: Vec<_> = table
        .fields()
        .iter()
        .map(|f| f.as_ref().clone().with_data_type(schema::kept_type(f.data_type())))
        .collect();
    Schema::new(fields)
}
