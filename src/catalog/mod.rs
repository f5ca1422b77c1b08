//! The one catalog: every zone's tables, over a running pipeline or over its files.

mod log;
mod system;

pub use system::{SystemFacts, number, register_rows, text, time};

use crate::definition::Definition;
use crate::layout::Layout;
use crate::resolved::Gone;
use crate::table::Silver;
use anyhow::Result;
use bourn_sql::{BatchSource, Engine, EngineOptions};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the catalog's tables are read from.
pub struct Tables {
    pub silver: BTreeMap<String, Silver>,
    /// Of the streams that ask for one.
    pub bronze: BTreeMap<String, Silver>,
    /// What hides a stream's rejects.
    pub gone: Arc<dyn Fn(&str) -> Gone + Send + Sync>,
    pub facts: Arc<dyn SystemFacts>,
}

/// An engine over the pipeline's tables.
pub fn engine(definition: &Definition, tables: &Tables) -> Result<Arc<Engine>> {
    let settings = &definition.loaded.pipeline.sql;
    let engine = Engine::new(EngineOptions {
        memory_bytes: settings.memory.bytes(),
        timeout: settings.timeout.0,
        spill_dir: Some(definition.layout.spill()),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        ..EngineOptions::default()
    })?;
    for function in bourn_refine::bounded_functions() {
        engine.register_function(function);
    }
    for (name, table) in &tables.silver {
        engine.register("silver", name, Arc::new(table.clone()));
    }
    for name in definition.stream_names() {
        let layout: &Layout = &definition.layout;
        engine.register("raw", name, Arc::new(log::raw(layout, name)));
        match (tables.bronze.get(name), definition.schema(name)) {
            (Some(table), _) => engine.register("bronze", name, Arc::new(table.clone())),
            (None, Some(schema)) => {
                engine.register("bronze", name, Arc::new(log::bronze(layout, name, schema)));
            }
            (None, None) => {}
        }
        engine.register("rejects", name, Arc::new(log::rejects(layout, name, tables.gone.clone())));
    }
    for name in definition.loaded.pipeline.lookups.keys() {
        let Some(rows) = definition.lookups.table(name) else { continue };
        let (lookups, table) = (definition.lookups.clone(), name.clone());
        let source = BatchSource::new(rows.schema(), move || {
            lookups.table(&table).map(|rows| vec![rows]).ok_or_else(|| format!("lookup {table} is gone"))
        });
        engine.register("lookups", name, Arc::new(source));
    }
    system::register(&engine, definition, &tables.facts);
    Ok(engine)
}
