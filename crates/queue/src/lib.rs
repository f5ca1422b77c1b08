//! The durable log: events go in as compressed frames, are synced by group commit, and come out
//! in offset order; the files it leaves behind are the lake's raw zone.
//!
//! ```text
//!  append ─ compress in the caller ─┐
//!  append ─ compress in the caller ─┼─► writer thread: offsets ► one write ► one sync ► receipts
//!  append ─ compress in the caller ─┘                                            └────► Tail
//!  dir/<first offset>.jsonl.zst  ── seal ──►  sealed_dir/date=…/hour=…/<first offset>.jsonl.zst
//! ```
//!
//! Invariants:
//! 1. A receipt of [`bourn_event::Ack::Durable`] is released only behind the sync that covers it.
//! 2. A draft that was answered with an error is not stored. The one exception: power is lost
//!    before the disk, which failed the write, took either the cut or a new segment.
//! 3. A segment's events end where the next segment begins; frames behind that are never read.
//! 4. Nothing is deleted but by retention. Torn bytes are moved to a side file, damaged frames stay.
//! 5. Memory is bounded by the options: nothing here grows with the log but one small record per
//!    segment and one per live producer.
//!
//! Deliberately absent: Arrow (columns are carried, never looked into), decoding of JSON, replication.

mod active;
mod book;
mod consumer;
mod error;
mod files;
pub mod format;
mod fsck;
mod group;
mod log;
mod pack;
mod read;
mod recover;
mod scan;
mod segments;
mod shared;
mod tail;
mod writer;

pub use consumer::Consumer;
pub use error::LogError;
pub use files::{Entry, FileSystem, LogFile, RealFiles};
pub use fsck::{FsckReport, Problem, SegmentReport, fsck, fsck_with};
pub use log::{LogOptions, LogStats, SegmentInfo, StreamLog};
pub use read::{Frames, Item, LogReader};
pub use recover::{Cut, Hole, Recovery};
pub use scan::{FramePiece, Piece, ScanError, scan};
pub use tail::Tail;
