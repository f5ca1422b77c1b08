//! `bourn`: the command line. Parses, runs one verb, and turns what happened into an exit code.

mod admin;
mod bench;
mod bronze;
mod catalog;
mod cli;
mod client;
mod compute;
mod decoding;
mod definition;
mod facts;
mod files;
mod graph;
mod layout;
mod ledger;
mod metrics;
mod originals;
mod outside;
mod pipeline;
mod progress;
mod reading;
mod rejects;
mod replay;
mod report;
mod resolved;
mod send;
mod serve;
mod signals;
mod sql;
mod stream;
mod table;
mod templates;
mod time;
mod verbs;

use clap::Parser;
use std::process::ExitCode;

// Batches are allocated on one thread and freed on another, many times a second; jemalloc keeps both
// their cost and what it holds back small.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    quiet_broken_pipes();
    let cli = cli::Cli::parse();
    cli::start_logging(&cli);
    // Two TLS providers are linked in by dependencies; one is chosen, for everybody.
    let _ = rustls::crypto::ring::default_provider().install_default();
    cli::exit_code(cli.run())
}

/// A reader such as `head` that had enough is no failure, and no panic to be told of.
fn quiet_broken_pipes() {
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload().downcast_ref::<String>();
        if said.is_some_and(|said| said.starts_with("failed printing to stdout: Broken pipe")) {
            std::process::exit(0);
        }
        tell(panic);
    }));
}
