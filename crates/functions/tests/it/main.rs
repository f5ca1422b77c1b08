//! Tests of the function host, with real processes.

mod api;
mod check;
mod crash;
mod faults;
mod kit;
mod later;
mod runtimes;
mod scale;
