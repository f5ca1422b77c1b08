//! The dedupe index: key → the event that is kept, exact within a window of time.
//!
//! ```text
//!  judge ─► table (memory, newest facts) ─► frozen table ─► runs on disk, newest to oldest
//!                                              │ spill (settled only)  │ merge, expire (whole files)
//!                                              └── <first>-<end>.run ◄─┘
//! ```
//!
//! A *fact* says that the event at an offset was the first with its key. Invariants:
//! - Facts on disk are of settled offsets only, so that what is processed again after a crash finds
//!   exactly the facts that were there the first time.
//! - The runs' offset ranges follow each other without gaps; the tables hold what lies behind them.
//! - Spilling and merging are done by threads. Judging waits for one only when the newer table is full
//!   while the frozen one is still being written: that is what bounds the memory.
//!   The folder's listing is the manifest: a run whose range lies inside another's is what a merge
//!   left behind.
//! - `received_at` never decreases along a log. Hence a fact that has left the window of a settled
//!   event is of no use to any later one.
//!
//! Deliberately absent: a write-ahead log. The table is rebuilt from the stream's log, from
//! [`Index::rebuild_from`].

mod error;
mod filter;
mod index;
mod merge;
mod run;
mod spill;
mod table;

pub use error::DedupeError;
pub use index::{Index, IndexOptions};
pub use table::NO_KEY;
