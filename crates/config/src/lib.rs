//! The pipeline definition: `bourn.yaml` as types, and every fault in it with its place.

pub mod model;

pub use model::*;
