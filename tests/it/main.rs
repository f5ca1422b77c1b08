//! The real binary, on real ports, as a user meets it; and the checks on the repository itself.

mod cli;
mod disk;
mod docs;
mod evolve;
mod files;
mod flow;
mod hostile;
mod keys;
mod kill;
mod lookups;
mod outside;
mod poison;
mod probe;
mod rejects;
mod replay;
mod start;
mod support;
mod survival;
mod tidy;
mod triggers;
mod workflows;
