//! The engine and the Postgres wire, through their public faces.

mod engine;
mod fixture;
mod pg;
