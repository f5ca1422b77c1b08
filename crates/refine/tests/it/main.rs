//! Integration tests of the stages behind the log.

mod apis;
mod dedupe;
mod determinism;
mod formats;
mod lookups;
mod outside;
mod support;
mod time;
mod transform;
