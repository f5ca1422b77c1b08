//! The lake: Delta tables that streams write exactly once and queries read at once.
//!
//! ```text
//!  Refined ──push──► tail (visible) ──committer──► Parquet files ──► Delta commit
//!                      │                                               │ txn actions: offset, ledger counts
//!                      └──────────────── LakeProvider ◄────────────────┘
//!  beside the route: maintenance (compact, expire, checkpoint, vacuum) · rebuild (replay) · recount (prove)
//! ```
//!
//! Exactly once (G3) rests on one thing: a commit holds the rows and the offset behind them, so
//! that either both are in the table or neither is. Tables keep to reader version 1 and writer
//! version 2, so that every Delta reader can read them.

mod actions;
mod archive;
mod commit;
mod committer;
mod conform;
mod encode;
mod error;
mod files;
mod handle;
mod lake;
mod local;
mod log;
mod maintain;
mod objects;
mod options;
mod partition;
mod provider;
mod reader;
mod reading;
mod rebuild;
mod recount;
mod rewrite;
mod schema;
mod shape;
mod store;
mod table;
mod tail;

pub use actions::{Replayed, Tally};
pub use error::LakeError;
pub use files::DataFile;
pub use lake::Lake;
pub use local::SyncedFolder;
pub use log::Commit;
pub use objects::StoredObject;
pub use options::{BeforeCommit, Committed, CompactionReport, Health, TableOptions};
pub use provider::LakeProvider;
pub use reader::TableReader;
pub use rebuild::{Rebuild, Rebuilt};
pub use recount::Recount;
pub use schema::{kept_type, name_of};
pub use store::Place;
pub use table::Table;
