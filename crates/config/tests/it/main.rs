//! The configuration, from outside.

mod alone;
mod bad;
mod good;
mod harmless;
