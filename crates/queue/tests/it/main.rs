//! Integration tests of the durable log.

mod clock;
mod conformance;
mod format_v1;
mod kit;
mod model;
mod recovery;
mod sim;
