//! SQL over everything a pipeline holds: one catalog, the query engine, the Postgres wire.
//!
//! ```text
//!  register(zone, name, TableSource) ─► catalog ─► Engine ─┬─ bourn_event::Query   (HTTP, command line)
//!                                                          └─ postgres()           (psql, drivers, BI tools)
//! ```
//!
//! The crate knows no stream, log or lake: the root registers a [`TableSource`] per table, and
//! every statement is planned against what the source gives at that moment. It only reads:
//! nothing that a statement can say changes a table, a setting of the process or a file.

mod catalog;
mod engine;
mod error;
mod functions;
mod scan;
mod source;
mod statement;
mod travel;
mod wire;

pub use engine::{DEFAULT_ZONE, Engine, EngineOptions};
pub use error::SqlError;
pub use scan::{Batches, ScanRequest, ScanSource};
pub use source::{BatchSource, Point, ProviderSource, TableSource};
pub use wire::{PgOptions, PgServer};
