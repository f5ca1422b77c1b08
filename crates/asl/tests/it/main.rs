//! The language held against recordings of Step Functions, and against tables of claims.

mod bounds;
mod choices;
mod conformance;
mod faults;
mod hostile;
mod intrinsics;
mod io;
mod jsonata;
mod paths;
mod places;
mod support;
