//! Keyed tables: items of attribute values in the state store, with DynamoDB's basic calls on them.
//!
//! ```text
//! request ─ calls ─► condition, update, projection (pure, over the item) ─► store: one atomic write
//! ```
//!
//! Expressions, types, limits and errors are those of the DynamoDB API (2012-08-10). Deliberately
//! absent: indexes, scans, batches, transactions, streams, time to live, capacity, the reserved words
//! of expressions, and the parameters from before expressions.

mod calls;
mod condition;
mod lexer;
mod number;
mod path;
mod store;
mod update;
mod value;

pub(crate) use store::{Call, Tables};

use serde_json::Value;

/// Why a call on a keyed table did nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ItemError {
    /// The request is not valid; in the service's words where it has any.
    #[error("{0}")]
    Validation(String),
    #[error("The conditional request failed")]
    ConditionFailed { item: Option<Value> },
    #[error("Requested resource not found")]
    NoTable,
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] bourn_state::StateError),
}

impl From<value::BadAttribute> for ItemError {
    fn from(error: value::BadAttribute) -> Self {
        Self::Validation(error.to_string())
    }
}

impl From<number::NumberError> for ItemError {
    fn from(error: number::NumberError) -> Self {
        Self::Validation(error.to_string())
    }
}

#[cfg(test)]
mod tests;
