//! The way in, seen from outside: splitting, CloudEvents, HTTP, submissions, files.

mod cloudevents;
mod fake_schema;
mod files;
mod http;
mod memory_log;
mod split;
mod submit;
mod world;
