//! Checking and decoding, held against the `jsonschema` crate and against slow decoding.

mod differential;
mod hostile;
mod mapping;
mod rollback;
mod suite;
mod support;
