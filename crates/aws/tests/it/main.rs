//! The AWS protocols over functions and workflows that are not there.

mod bodies;
mod engine;
mod fakes;
mod flows;
mod lambda;
mod signed;
mod states;
