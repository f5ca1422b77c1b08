//! From a path to one of the routes. The server knows no others.

use bourn_event::percent_decode;
use http::Method;
use std::borrow::Cow;

/// What all paths of the Lambda API begin with.
const LAMBDA_PREFIX: &str = "/2015-03-31/";

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// `POST /v1/streams/{stream}`; the name is percent-decoded.
    Ingest(Cow<'a, str>),
    /// `POST /v1/sql`
    Sql,
    /// `POST /v1/admin/{verb}`; the verb is percent-decoded.
    Admin(Cow<'a, str>),
    /// `POST /v1/tasks/{token}/{success|failure|heartbeat}`; the token is percent-decoded.
    Task(Cow<'a, str>, TaskVerb),
    /// `POST /`: AWS's Step Functions API.
    States,
    /// `/2015-03-31/…`: AWS's Lambda API.
    Lambda,
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// `GET /metrics`
    Metrics,
    /// `GET /v1/openapi.json`
    OpenApi,
    Unknown,
}

impl<'a> Route<'a> {
    pub(crate) fn of(path: &'a str) -> Self {
        if let Some(name) = path.strip_prefix("/v1/streams/") {
            return segment(name).map_or(Self::Unknown, Self::Ingest);
        }
        if let Some(verb) = path.strip_prefix("/v1/admin/") {
            return segment(verb).map_or(Self::Unknown, Self::Admin);
        }
        if let Some(task) = path.strip_prefix("/v1/tasks/") {
            return Self::of_task(task).unwrap_or(Self::Unknown);
        }
        if path.starts_with(LAMBDA_PREFIX) {
            return Self::Lambda;
        }
        match path {
            "/" => Self::States,
            "/v1/sql" => Self::Sql,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/v1/openapi.json" => Self::OpenApi,
            _ => Self::Unknown,
        }
    }

    fn of_task(path: &'a str) -> Option<Self> {
        let (token, verb) = path.rsplit_once('/')?;
        Some(Self::Task(segment(token)?, TaskVerb::of(verb)?))
    }

    pub(crate) fn kind(&self) -> RouteKind {
        match self {
            Self::Ingest(_) => RouteKind::Ingest,
            Self::Sql => RouteKind::Sql,
            Self::Admin(_) => RouteKind::Admin,
            Self::Task(..) => RouteKind::Task,
            Self::States => RouteKind::States,
            Self::Lambda => RouteKind::Lambda,
            Self::Health => RouteKind::Health,
            Self::Ready => RouteKind::Ready,
            Self::Metrics => RouteKind::Metrics,
            Self::OpenApi => RouteKind::OpenApi,
            Self::Unknown => RouteKind::Unknown,
        }
    }
}

/// What a waiting task is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskVerb {
    Success,
    Failure,
    Heartbeat,
}

impl TaskVerb {
    pub(crate) const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Heartbeat];

    /// As the path has it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Heartbeat => "heartbeat",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }
}

/// A route without its parameters; the index of its metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RouteKind {
    Ingest,
    Sql,
    Admin,
    Task,
    States,
    Lambda,
    Health,
    Ready,
    Metrics,
    OpenApi,
    Unknown,
}

impl RouteKind {
    pub(crate) const COUNT: usize = 11;

    /// The label of its metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Sql => "sql",
            Self::Admin => "admin",
            Self::Task => "tasks",
            Self::States => "states",
            Self::Lambda => "lambda",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
            Self::OpenApi => "openapi",
            Self::Unknown => "unknown",
        }
    }

    /// Value of its `Allow` header; empty if the path is unknown.
    pub(crate) const fn allow(self) -> &'static str {
        match self {
            Self::Ingest | Self::Sql | Self::Admin | Self::Task | Self::States => "POST, OPTIONS",
            Self::Lambda => "GET, POST, OPTIONS",
            Self::Health | Self::Ready | Self::Metrics | Self::OpenApi => "GET, HEAD, OPTIONS",
            Self::Unknown => "",
        }
    }

    pub(crate) fn allows(self, method: &Method) -> bool {
        match self {
            Self::Ingest | Self::Sql | Self::Admin | Self::Task | Self::States => method == Method::POST,
            // Calls that are not offered have their answer too, in the form their clients read.
            Self::Lambda => method != Method::OPTIONS,
            Self::Health | Self::Ready | Self::Metrics | Self::OpenApi => {
                method == Method::GET || method == Method::HEAD
            }
            Self::Unknown => false,
        }
    }

    /// Does it speak an AWS protocol?
    pub(crate) const fn is_aws(self) -> bool {
        matches!(self, Self::States | Self::Lambda)
    }

    /// Still answered while the server drains?
    pub(crate) const fn outlives_drain(self) -> bool {
        matches!(self, Self::Health | Self::Ready | Self::Metrics)
    }
}

/// One path segment, percent-decoded; `None` if it is empty, has a slash, or is not UTF-8.
fn segment(raw: &str) -> Option<Cow<'_, str>> {
    if raw.is_empty() || raw.contains('/') {
        return None;
    }
    if !raw.contains('%') {
        return Some(Cow::Borrowed(raw));
    }
    String::from_utf8(percent_decode(raw.as_bytes())).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_one_route_or_none() {
        let ingest = |name: &'static str| Route::Ingest(Cow::Borrowed(name));
        let task = |token: &'static str, verb| Route::Task(Cow::Borrowed(token), verb);
        let cases = [
            ("/v1/streams/orders", ingest("orders")),
            ("/v1/streams/or%64ers", ingest("orders")),
            ("/v1/streams/a%2Fb", ingest("a/b")),
            ("/v1/streams/50%", ingest("50%")),
            ("/v1/streams/%ff", Route::Unknown),
            ("/v1/streams/", Route::Unknown),
            ("/v1/streams/a/b", Route::Unknown),
            ("/v1/streams/a/", Route::Unknown),
            ("//v1/streams/a", Route::Unknown),
            ("/v1/sql", Route::Sql),
            ("/v1/sql/", Route::Unknown),
            ("/v1/admin/compact", Route::Admin(Cow::Borrowed("compact"))),
            ("/healthz", Route::Health),
            ("/readyz", Route::Ready),
            ("/metrics", Route::Metrics),
            ("/v1/openapi.json", Route::OpenApi),
            ("/v1/tasks/a/success", task("a", TaskVerb::Success)),
            ("/v1/tasks/a%2Bb%3D/failure", task("a+b=", TaskVerb::Failure)),
            ("/v1/tasks/a/heartbeat", task("a", TaskVerb::Heartbeat)),
            ("/v1/tasks/a/refuse", Route::Unknown),
            ("/v1/tasks/a/b/success", Route::Unknown),
            ("/v1/tasks//success", Route::Unknown),
            ("/v1/tasks/success", Route::Unknown),
            ("/", Route::States),
            ("/2015-03-31/functions", Route::Lambda),
            ("/2015-03-31/functions/a%3Ab/invocations", Route::Lambda),
            ("/2015-03-31", Route::Unknown),
            ("*", Route::Unknown),
        ];
        for (path, route) in cases {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }
}
