//! Read verbs: asked of the process that runs the pipeline, or read from its files if none does.

use crate::catalog::{self, Tables};
use crate::cli::{Context, Stop};
use crate::client::Client;
use crate::compute;
use crate::definition::Definition;
use crate::facts::FileFacts;
use crate::layout::{Layout, LogKind};
use crate::ledger::{Proof, Snapshot, prove};
use crate::rejects::{self, Held, RejectFilter};
use crate::resolved::{Gone, Resolved, ResolvedSet};
use crate::stream::{open_reader, table_name};
use crate::table::Silver;
use anyhow::{Result, anyhow};
use arrow::datatypes::{Schema, SchemaRef};
use bourn_config::Faults;
use bourn_event::{Ledger, SystemClock};
use bourn_lake::Lake;
use bourn_sql::{Engine, TableSource};
use bourn_state::{OwnerLock, State};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// A pipeline that no process runs, opened for reading. What is stored is read whether or not the
/// pipeline could run: each verb needs only what it reads.
pub struct Stopped {
    pub definition: Arc<Definition>,
    /// Why parts of it are missing.
    pub faults: Faults,
    pub tables: BTreeMap<String, Silver>,
    pub bronze: BTreeMap<String, Silver>,
    pub resolved: BTreeMap<String, ResolvedSet>,
}

/// The pipeline's process, or its files.
pub enum Reading {
    Running(Client),
    Stopped(Box<Stopped>),
}

pub async fn open(context: &Context) -> Result<Reading, Stop> {
    let loaded = crate::cli::load(context)?;
    if let Some(client) = Client::of_running(&loaded.pipeline, &Layout::of(&loaded).state)? {
        return Ok(Reading::Running(client));
    }
    let loaded = Definition::load_to_read(&context.dir, context.environment.as_deref());
    let (definition, faults) = loaded.map_err(|faults| {
        eprintln!("{faults}");
        Stop::Invalid
    })?;
    Ok(Reading::Stopped(Box::new(Stopped::open(definition, faults).await?)))
}

impl Stopped {
    async fn open(definition: Definition, faults: Faults) -> Result<Self> {
        let resolved = read_resolved(&definition)?;
        // A pipeline that never ran has no lake yet.
        let lake = match definition.layout.has_lake() {
            true => Some(Lake::open_read_only(&definition.loaded.pipeline.storage, &definition.loaded.dir)?),
            false => None,
        };
        let (mut tables, mut bronze) = (BTreeMap::new(), BTreeMap::new());
        for (name, settings) in &definition.loaded.pipeline.streams {
            if settings.bronze_table {
                let schema = definition.schema(name).map(crate::bronze::schema).unwrap_or_else(unknown);
                let table = Silver::stored(lake.as_deref(), &crate::bronze::table_name(name), schema).await?;
                bronze.insert(name.clone(), table);
            }
            let stream = definition.streams.get(name);
            let schema = stream.map(|stream| stream.plan.table_schema()).unwrap_or_else(unknown);
            tables.insert(name.clone(), Silver::stored(lake.as_deref(), &table_name(name), schema).await?);
        }
        Ok(Self { definition: Arc::new(definition), faults, tables, bronze, resolved })
    }

    pub fn engine(&self) -> Result<Arc<Engine>> {
        let gone: BTreeMap<_, _> = self.tables.keys().map(|name| (name.clone(), self.gone(name))).collect();
        let tables = Tables {
            silver: known(&self.tables),
            bronze: known(&self.bronze),
            gone: Arc::new(move |stream| gone.get(stream).cloned().unwrap_or_default()),
            facts: Arc::new(FileFacts::of(self)),
        };
        let engine = catalog::engine(&self.definition, &tables)?;
        compute::tables::register(&engine, compute::stopped::Files(self.definition.clone()));
        Ok(engine)
    }

    pub fn snapshot(&self, stream: &str) -> Result<Snapshot> {
        let table = self.tables.get(stream).ok_or_else(|| no_stream(&self.definition, stream))?;
        let layout = &self.definition.layout;
        let (rejects, rejects_end) = received(layout, stream, LogKind::Rejects)?;
        let (events, events_end) = received(layout, stream, LogKind::Events)?;
        Ok(Snapshot {
            committed: table.committed(),
            resolved: self.resolved.get(stream).cloned().unwrap_or_default(),
            rejects,
            rejects_end,
            events,
            events_end,
        })
    }

    /// What hides a stream's rejects.
    fn gone(&self, stream: &str) -> Gone {
        match (self.resolved.get(stream), self.tables.get(stream)) {
            (Some(resolved), Some(table)) => Gone::of(resolved, &table.committed()),
            _ => Gone::default(),
        }
    }

    fn names(&self, only: Option<&str>) -> Result<Vec<String>> {
        match only {
            Some(name) if !self.tables.contains_key(name) => Err(no_stream(&self.definition, name)),
            Some(name) => Ok(vec![name.to_string()]),
            None => Ok(self.tables.keys().cloned().collect()),
        }
    }
}

/// The columns of a table that is not there yet, and whose stream cannot say what they will be.
fn unknown() -> SchemaRef {
    Arc::new(Schema::empty())
}

fn known(tables: &BTreeMap<String, Silver>) -> BTreeMap<String, Silver> {
    let known = tables.iter().filter(|(_, table)| !table.schema().fields().is_empty());
    known.map(|(name, table)| (name.clone(), table.clone())).collect()
}

fn received(layout: &Layout, stream: &str, kind: LogKind) -> Result<(BTreeMap<String, u64>, u64)> {
    if !layout.log(stream, kind).exists() {
        return Ok((BTreeMap::new(), 0));
    }
    let reader = open_reader(layout, stream, kind)?;
    Ok((reader.received().clone(), reader.end()))
}

/// The state store has one owner at a time: it is read under the folder's lock, which is let go
/// again at once.
fn read_resolved(definition: &Definition) -> Result<BTreeMap<String, ResolvedSet>> {
    let layout = &definition.layout;
    if !layout.store().exists() {
        return Ok(BTreeMap::new());
    }
    let _lock = OwnerLock::acquire(&layout.state, &SystemClock)?;
    let state = Arc::new(State::open(layout.store())?);
    let resolved = Resolved::open(state, definition.stream_names().cloned())?;
    Ok(definition.stream_names().map(|name| (name.clone(), resolved.of(name))).collect())
}

pub fn no_stream(definition: &Definition, name: &str) -> anyhow::Error {
    unknown_stream(definition.stream_names(), name)
}

/// Says which streams there are.
pub fn unknown_stream<'a>(known: impl Iterator<Item = &'a String>, name: &str) -> anyhow::Error {
    let names: Vec<_> = known.map(String::as_str).collect();
    anyhow!("there is no stream `{name}`; there are: {}", names.join(", "))
}

/// The ledgers, of one stream or all.
pub async fn ledgers(context: &Context, only: Option<&str>) -> Result<BTreeMap<String, Ledger>, Stop> {
    match open(context).await? {
        Reading::Running(client) => {
            let ledgers = client.admin("ledger", &json!({"stream": only}), |_| {}).await?;
            Ok(serde_json::from_value(ledgers)?)
        }
        Reading::Stopped(stopped) => {
            let mut ledgers = BTreeMap::new();
            for name in stopped.names(only)? {
                ledgers.insert(name.clone(), stopped.snapshot(&name)?.ledger());
            }
            Ok(ledgers)
        }
    }
}

/// The ledgers with their recount.
pub async fn proofs(context: &Context, only: Option<&str>) -> Result<BTreeMap<String, Proof>, Stop> {
    match open(context).await? {
        Reading::Running(client) => {
            let proofs: Value = client.admin("prove", &json!({"stream": only}), |_| {}).await?;
            Ok(serde_json::from_value(proofs)?)
        }
        Reading::Stopped(stopped) => {
            let mut proofs = BTreeMap::new();
            for name in stopped.names(only)? {
                let snapshot = stopped.snapshot(&name)?;
                let table = &stopped.tables[&name];
                let proof = prove(&stopped.definition.layout, &name, table, snapshot).await?;
                proofs.insert(name, proof);
            }
            Ok(proofs)
        }
    }
}

/// The newest rejects of a stream that the filter takes, oldest first. They are read from the
/// files in any case; what is gone is asked of the running process.
pub fn rejects(
    context: &Context,
    stream: &str,
    filter: &RejectFilter,
    limit: usize,
) -> Result<Vec<Held>, Stop> {
    let loaded = crate::cli::load(context)?;
    let layout = Layout::of(&loaded);
    if !loaded.pipeline.streams.contains_key(stream) {
        return Err(unknown_stream(loaded.pipeline.streams.keys(), stream).into());
    }
    if !layout.log(stream, LogKind::Rejects).exists() {
        return Ok(Vec::new());
    }
    let runtime = crate::cli::runtime()?;
    let gone = match runtime.block_on(open(context))? {
        Reading::Running(client) => {
            let which = json!({"stream": stream});
            Gone::from_json(&runtime.block_on(client.admin("rejects_gone", &which, |_| {}))?)
        }
        Reading::Stopped(stopped) => stopped.gone(stream),
    };
    let mut newest = VecDeque::new();
    for held in rejects::read(&layout, stream, gone, 0, u64::MAX)? {
        let held = held?;
        if filter.takes(held.offset, &held.reject) {
            newest.push_back(held);
        }
        if newest.len() > limit {
            newest.pop_front();
        }
    }
    Ok(newest.into())
}
