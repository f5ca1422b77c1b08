//! The HTTP server around the routes: connections, TLS, keys, limits, SQL, health, metrics, and the
//! forms query results take.
//!
//! A request's way: [`serve`] accepts the connection → the path picks one of few routes → the key is
//! checked against the route's verb and stream → the body is read under a deadline and a memory budget →
//! the handler answers. Everything that is not a success is a problem document (RFC 9457); only on AWS's
//! routes it has AWS's form.
//!
//! What is deliberately absent: a middleware stack, a tracing span per request, and any knowledge of
//! what an event is (the ingest routes come from outside as one function).

mod admin;
mod app;
mod auth;
mod aws;
mod body;
mod connection;
mod health;
mod openapi;
mod options;
mod problem;
pub mod render;
mod route;
mod server;
mod sql;
mod tasks;
mod telemetry;
mod tls;

pub use admin::{Admin, AdminError};
pub use health::{Readiness, Reason};
pub use openapi::{Facts as OpenApiFacts, document as openapi_document};
pub use options::{AwsRoutes, Ingest, Serving, StreamDoc, WebError, WebOptions};
pub use problem::{MEDIA_TYPE as PROBLEM_MEDIA_TYPE, Problem, ProblemKind};
pub use server::serve;
pub use tasks::{TaskAnswerError, TaskAnswers};
pub use telemetry::install_metrics;
