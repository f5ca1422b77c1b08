//! The lake against real Delta tables in temporary folders, with a store that fails on demand.

mod definition;
mod exactly_once;
mod faults;
mod lab;
mod maintenance;
mod queries;
mod readers;
mod replay;
mod seaweed;
