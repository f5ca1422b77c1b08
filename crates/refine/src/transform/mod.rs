//! The transform: one SELECT of projections and filters, planned once, evaluated on each batch.

pub(crate) mod bounded;
mod eval;
mod sql;

pub use eval::Transform;
pub use sql::compile;
