//! `server:`, `postgres:` and `sql:`: what is offered on the network, to whom, and how much of it.

use super::units::{ByteSize, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The HTTP server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port; port 0 picks a free one.
    pub listen: String,
    /// TLS; without it the server speaks plain HTTP.
    pub tls: Option<Tls>,
    /// API keys. With none, everybody who reaches the port may do everything.
    pub keys: Vec<ApiKey>,
    /// Serve on an address other than loopback although no keys are set.
    pub allow_unauthenticated: bool,
    /// Largest request body as it comes over the wire.
    pub max_body: ByteSize,
    /// Largest request body after its `Content-Encoding` is undone.
    pub max_inflated: ByteSize,
    /// Memory that bodies in flight may take together; above it requests get 429.
    pub max_in_flight: ByteSize,
    /// A client must send its whole request within this time.
    pub request_timeout: Span,
    /// Connections at once; more wait to be accepted.
    pub max_connections: usize,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8686".into(),
            tls: None,
            keys: Vec::new(),
            allow_unauthenticated: false,
            max_body: ByteSize::mib(32),
            max_inflated: ByteSize::mib(64),
            max_in_flight: ByteSize::mib(128),
            request_timeout: Span::from_secs(60),
            max_connections: 16_384,
        }
    }
}

/// Certificate and key, both PEM files.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// A key that clients send as `Authorization: Bearer <key>`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Who it belongs to; appears in logs.
    pub name: String,
    /// `sha256:` and the SHA-256 of the key in hex. Keys are long random strings, so that a plain
    /// hash is enough; `bourn` never stores the key itself.
    pub hash: String,
    /// The streams it may be used for; all if empty.
    #[serde(default)]
    pub streams: Vec<String>,
    /// What it may be used for; all if empty.
    #[serde(default)]
    pub verbs: Vec<Verb>,
}

/// What an API key allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Send events.
    Ingest,
    /// Run SQL.
    Query,
    /// Everything that changes a pipeline: replay, compaction, purging rejects.
    Admin,
}

/// The Postgres wire server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// Address and port; port 0 picks a free one.
    pub listen: String,
    /// Serve it at all?
    pub enabled: bool,
    /// User name that clients log in with.
    pub user: String,
    /// Password, by reference (`${env:…}` or `${file:…}`). Without one, clients on loopback are
    /// trusted and other addresses are refused.
    pub password: Option<super::Secret>,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { listen: "127.0.0.1:5433".into(), enabled: true, user: "bourn".into(), password: None }
    }
}

/// Limits of queries.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sql {
    /// Memory all queries share; operators that can spill go to disk above it.
    pub memory: ByteSize,
    /// A query that takes longer is cancelled.
    pub timeout: Span,
}

impl Default for Sql {
    fn default() -> Self {
        Self { memory: ByteSize::mib(256), timeout: Span::from_secs(300) }
    }
}
