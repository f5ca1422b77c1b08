//! The web crate's integration tests, one binary.

mod access;
mod aws;
mod fakes;
mod limits;
mod render;
mod server;
mod sql;
mod tasks;
