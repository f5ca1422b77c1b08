//! Check and decode: JSON events become Arrow columns in one pass, judged by JSON Schema on the way.
//!
//! [`EventSchema::compile`] turns a schema into a plan: a tree with one node per column. A [`Decoder`]
//! walks each event along that plan, checks keywords as it meets them and writes values straight into
//! columns that can be cut back, so a bad event leaves no trace. What the plan cannot check by itself is
//! judged by the `jsonschema` crate on a value built for that event alone; its verdict is the truth.
//!
//! Invariants:
//! - A fault the walk reports is certain: `jsonschema` refuses the same event.
//! - A value that the schema allows but its column cannot hold is a `type` fault, never null.
//! - After an `Err` the columns are exactly as before the push.
//! - No schema is ever fetched: a `$ref` that leaves the document is refused at compile time.

mod check;
mod column;
mod compile;
mod decoder;
mod flatten;
mod formats;
mod judge;
mod keys;
mod mapping;
mod number;
mod object;
mod options;
mod order;
mod pattern;
mod plan;
mod pointer;
mod refs;
mod scan;
mod schema;
mod walk;

pub use decoder::{Decoder, Stats};
pub use mapping::MappedColumn;
pub use options::{Draft, Options, SchemaFault};
pub use schema::EventSchema;
