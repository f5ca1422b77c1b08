//! What the server is given, what it gives back, and why it may not start.

use crate::{Admin, Readiness, TaskAnswers};
use axum::body::Body;
use bourn_event::Query;
use futures::future::BoxFuture;
use http::{Request, Response};
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Answers requests; a plain function, for a router costs each request several allocations.
pub type Ingest = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Everything the server needs.
pub struct WebOptions {
    /// Address, TLS, keys and limits.
    pub server: bourn_config::Server,
    /// Answers `POST /v1/sql`.
    pub query: Arc<dyn Query>,
    /// Answers `POST /v1/admin/{verb}`.
    pub admin: Arc<dyn Admin>,
    /// The streams, for the OpenAPI document.
    pub streams: Vec<StreamDoc>,
    /// Answers `/v1/streams/{stream}`; nothing else is routed to it.
    pub ingest: Ingest,
    /// Answers `POST /` and `/2015-03-31/…`, AWS's own protocols; without it these are unknown.
    pub aws: Option<AwsRoutes>,
    /// Answers `POST /v1/tasks/{token}/…`; without it these are unknown.
    pub tasks: Option<Arc<dyn TaskAnswers>>,
    /// Is the pipeline ready to take events?
    pub ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    /// The recorder behind `/metrics`, from [`crate::install_metrics`].
    pub metrics: PrometheusHandle,
    /// Requests in flight get this long to finish when the server drains.
    pub drain_max: Duration,
}

/// AWS's protocols.
pub struct AwsRoutes {
    pub router: axum::Router,
    /// Does it check signatures, having access keys (`aws.keys`)? If not, and there are API keys, an API
    /// key with the verb `admin` is asked for.
    pub signed: bool,
}

/// A stream as clients see it.
#[derive(Clone, Debug)]
pub struct StreamDoc {
    pub name: String,
    /// The JSON Schema of its events, any draft.
    pub json_schema: serde_json::Value,
}

/// A server that is listening.
pub struct Serving {
    /// Where; the port that was picked if the configuration says 0.
    pub addr: SocketAddr,
    /// Ends when the server has drained.
    pub join: JoinHandle<()>,
}

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error("cannot listen on {listen}: {source}")]
    Listen { listen: String, source: std::io::Error },
    /// Reachable from elsewhere, and everybody could do everything.
    #[error(
        "refusing to serve {0} without API keys: set `server.keys`, listen on a loopback address, \
         or set `server.allow_unauthenticated: true`"
    )]
    Unauthenticated(SocketAddr),
    #[error("API key `{name}`: the hash must be `sha256:` and 64 hexadecimal digits")]
    KeyHash { name: String },
    #[error("TLS: cannot use {}: {detail}", .path.display())]
    Tls { path: PathBuf, detail: String },
    #[error("cannot install the metrics recorder: {0}")]
    Metrics(String),
}
