//! The real binary, on real ports, as a user meets it; and the checks on the repository itself.

mod cli;
mod docs;
mod flow;
mod kill;
mod rejects;
mod replay;
mod support;
mod tidy;
