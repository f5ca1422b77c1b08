//! The state crate's integration tests, one binary.

mod keys;
mod lock;
mod store;
