//! The configuration, from outside.

mod bad;
mod good;
mod harmless;
