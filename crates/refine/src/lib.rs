//! The stages behind the log: dedupe ► time ► enrich ► transform.
//!
//! ```text
//!  Decoded ─► time verdicts ─► dedupe ─► enrich ─► transform ─► Refined
//!             (all rows)         │          │          │
//!                            duplicate    reject   filtered, reject
//!             future, late ──────┘
//! ```
//!
//! A [`Plan`] is made once from the stream's definition and finds all its faults; a [`Refiner`]
//! takes batches in offset order. What becomes of an event depends on the events before it, the
//! definition and the lookups' rows, never on where batches end, on memory budgets or on the clock
//! (G5), and each offset has exactly one outcome (G2).
//!
//! An event is a duplicate if and only if an event with a smaller offset and the same key was kept
//! within the window: an event that ends as a reject or late keeps nobody out, so that it can come
//! again, mended. A filtered one does.
//!
//! Steps may call functions and APIs, through the seam [`Outside`] that the caller brings. What those
//! answer is no function of the log: an event whose outcome was told of before keeps it
//! ([`Refiner::recall`]), so that it still ends in exactly one place after a crash.
//!
//! Deliberately absent: any I/O but the dedupe index's files and the lookups' (the caller reads the
//! log and writes outcomes), and any state across events in the transform.

mod column;
mod dedupe;
mod key;
mod lookup;
mod outside;
mod plan;
mod refiner;
mod stages;
mod time;
mod transform;

pub use dedupe::{DedupeError, Index, IndexOptions, NO_KEY};
pub use lookup::{LookupFault, Lookups, Reloaded};
pub use outside::{Cached, CallError, Fetched, Outside, Request, step_name};
pub use plan::plan;
pub use plan::{Plan, PlanFault, RefineOptions};
pub use refiner::{Mode, Originals, RefineError, Refiner, Start};
pub use transform::bounded::functions as bounded_functions;
