//! A request from its headers to its answer.

use crate::auth::Auth;
use crate::body::{BodyFault, Budget, GuardedBody, Lingering, Watch};
use crate::health::{self, Readiness};
use crate::options::{AwsRoutes, Ingest, WebOptions};
use crate::problem::{Problem, ProblemKind};
use crate::route::{Route, RouteKind};
use crate::tasks::{self, TaskAnswers};
use crate::telemetry::Telemetry;
use crate::{Admin, admin, aws, openapi, sql};
use axum::body::Body;
use bourn_event::Query;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use metrics_exporter_prometheus::PrometheusHandle;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Bodies of SQL and admin requests are statements and arguments, not data.
const SMALL_BODY_BYTES_MAX: usize = 1 << 20;

/// What all connections share.
pub(crate) struct App {
    query: Arc<dyn Query>,
    admin: Arc<dyn Admin>,
    ingest: Ingest,
    aws: Option<AwsRoutes>,
    tasks: Option<Arc<dyn TaskAnswers>>,
    ready: Arc<dyn Fn() -> Readiness + Send + Sync>,
    metrics: PrometheusHandle,
    pub(crate) telemetry: Telemetry,
    auth: Auth,
    openapi: Bytes,
    budget: Arc<Budget>,
    request_timeout: Duration,
    drain: CancellationToken,
}

impl App {
    pub(crate) fn new(options: WebOptions, auth: Auth, drain: CancellationToken) -> Self {
        let document = openapi::document(&openapi::Facts {
            streams: &options.streams,
            verbs: &options.admin.verbs(),
            tasks: options.tasks.is_some(),
            keys: !auth.is_open(),
        });
        Self {
            openapi: document.to_string().into(),
            query: options.query,
            admin: options.admin,
            ingest: options.ingest,
            aws: options.aws,
            tasks: options.tasks,
            ready: options.ready,
            metrics: options.metrics,
            telemetry: Telemetry::new(),
            auth,
            budget: Budget::new(options.server.max_in_flight.bytes()),
            request_timeout: options.server.request_timeout.0,
            drain,
        }
    }

    /// Forgets samples that `/metrics` no longer shows, so that histograms do not grow.
    pub(crate) fn upkeep(&self) {
        self.metrics.run_upkeep();
    }

    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let started = Instant::now();
        let version = request.version();
        let kind = self.offered(request.uri().path()).kind();
        let answered = AssertUnwindSafe(self.route(request, started)).catch_unwind().await;
        let answered = answered.unwrap_or_else(|_panic| {
            let detail = "the request hit a defect; the server's log has the details";
            Err(Problem::new(ProblemKind::Internal, detail))
        });
        let mut response = answered.unwrap_or_else(|problem| close_after(problem, version, kind));
        if self.drain.is_cancelled() && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.telemetry.record(kind, response.status(), started.elapsed());
        response
    }

    /// What a path names, if this server has it.
    fn offered<'a>(&self, path: &'a str) -> Route<'a> {
        let route = Route::of(path);
        let there = match route.kind() {
            RouteKind::States | RouteKind::Lambda => self.aws.is_some(),
            RouteKind::Task => self.tasks.is_some(),
            _ => true,
        };
        if there { route } else { Route::Unknown }
    }

    async fn route(&self, request: Request<Incoming>, started: Instant) -> Result<Response<Body>, Problem> {
        let route = self.offered(request.uri().path());
        let kind = route.kind();
        if kind == RouteKind::Unknown {
            let detail = format!("the server knows no `{}`; see /v1/openapi.json", request.uri().path());
            return Err(Problem::new(ProblemKind::NotFound, detail));
        }
        if !kind.allows(request.method()) {
            return refuse_method(kind, request.method());
        }
        if self.drain.is_cancelled() && !kind.outlives_drain() {
            let detail = "the server is finishing what it began; send the request to it again in a moment";
            return Err(Problem::new(ProblemKind::Draining, detail).retry_after(5));
        }
        let signed = self.aws.as_ref().is_some_and(|aws| aws.signed);
        self.auth.check(&route, request.headers(), signed)?;
        match route {
            Route::Ingest(_) => Ok(self.ingest(request).await),
            // Boxed: the future of every request is moved about, and has room for the largest it may await.
            _ => Box::pin(self.beside(request, started)).await,
        }
    }

    /// Everything but ingest.
    async fn beside(&self, request: Request<Incoming>, started: Instant) -> Result<Response<Body>, Problem> {
        match self.offered(request.uri().path()) {
            Route::Sql => {
                let (parts, body) = self.read(request, started).await?;
                sql::answer(&*self.query, &parts.headers, &body, self.request_timeout).await
            }
            Route::Admin(verb) => {
                let verb = verb.into_owned();
                let (_, body) = self.read(request, started).await?;
                admin::answer(&*self.admin, &verb, &body).await
            }
            Route::Task(token, verb) => {
                let token = token.into_owned();
                let (_, body) = self.read(request, started).await?;
                match &self.tasks {
                    Some(tasks) => tasks::answer(&**tasks, &token, verb, &body).await,
                    None => Err(unknown()),
                }
            }
            Route::States | Route::Lambda => self.aws(request, started).await,
            Route::Health => Ok(health::alive()),
            Route::Ready => Ok(health::readiness(&self.readiness())),
            Route::Metrics => Ok(self.exposition()),
            Route::OpenApi => Ok(with_type(Body::from(self.openapi.clone()), "application/json")),
            Route::Ingest(_) | Route::Unknown => Err(unknown()),
        }
    }

    /// The ingest routes hold bodies to their own limits, which know what a body inflates to.
    async fn ingest(&self, request: Request<Incoming>) -> Response<Body> {
        let version = request.version();
        let mut response = (self.ingest)(request.map(|body| Body::new(Lingering::new(body, version)))).await;
        let unread = matches!(response.status(), StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE);
        if unread && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// AWS's protocols know how much a body may have; time and memory are the server's to watch.
    async fn aws(&self, request: Request<Incoming>, started: Instant) -> Result<Response<Body>, Problem> {
        let Some(aws) = &self.aws else { return Err(unknown()) };
        let version = request.version();
        let watch = self.admit(request.body())?;
        let deadline = started + self.request_timeout;
        let request = request
            .map(|body| Body::new(GuardedBody::new(Lingering::new(body, version), watch.clone(), deadline)));
        let mut response = match aws.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        fault(&watch)?;
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE && version < Version::HTTP_2 {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// The whole of a small body.
    async fn read(
        &self,
        request: Request<Incoming>,
        started: Instant,
    ) -> Result<(http::request::Parts, Bytes), Problem> {
        let watch = self.admit(request.body())?;
        let (parts, body) = request.into_parts();
        let body = Lingering::new(body, parts.version);
        let body = GuardedBody::new(body, watch.clone(), started + self.request_timeout);
        match Limited::new(body, SMALL_BODY_BYTES_MAX).collect().await {
            Ok(body) => Ok((parts, body.to_bytes())),
            Err(error) => {
                fault(&watch)?;
                if error.is::<LengthLimitError>() {
                    let detail = format!("at most {SMALL_BODY_BYTES_MAX} bytes are taken here");
                    return Err(Problem::new(ProblemKind::TooLarge, detail));
                }
                Err(Problem::new(ProblemKind::InvalidRequest, error.to_string()))
            }
        }
    }

    /// Refuses a body at once if it says itself that it cannot fit now.
    fn admit(&self, body: &Incoming) -> Result<Arc<Watch>, Problem> {
        if self.budget.has_room(body.size_hint().lower()) {
            Ok(Watch::new(self.budget.clone()))
        } else {
            Err(overloaded())
        }
    }

    fn readiness(&self) -> Readiness {
        let mut readiness = (self.ready)();
        if self.drain.is_cancelled() {
            readiness.reasons.extend(Readiness::not("server", "draining").reasons);
        }
        readiness
    }

    fn exposition(&self) -> Response<Body> {
        self.telemetry.body_bytes.set(self.budget.used() as f64);
        with_type(Body::from(self.metrics.render()), "text/plain; version=0.0.4; charset=utf-8")
    }
}

fn fault(watch: &Watch) -> Result<(), Problem> {
    match watch.fault() {
        None => Ok(()),
        Some(BodyFault::Slow) => {
            Err(Problem::new(ProblemKind::RequestTimeout, "the request body did not arrive in time"))
        }
        Some(BodyFault::Overloaded) => Err(overloaded()),
    }
}

fn unknown() -> Problem {
    Problem::new(ProblemKind::NotFound, "the server knows no such path")
}

fn overloaded() -> Problem {
    let detail = "request bodies in flight take all the memory they may (`server.max_in_flight`)";
    Problem::new(ProblemKind::Overloaded, detail).retry_after(1)
}

/// What is left of a request that was not read to its end cannot be told from a next one.
fn close_after(problem: Problem, version: Version, kind: RouteKind) -> Response<Body> {
    let unread = matches!(
        problem.kind(),
        ProblemKind::RequestTimeout | ProblemKind::Overloaded | ProblemKind::TooLarge
    );
    let mut response = if kind.is_aws() { aws::refusal(&problem) } else { problem.into_response() };
    if unread && version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn refuse_method(kind: RouteKind, method: &Method) -> Result<Response<Body>, Problem> {
    let allow = HeaderValue::from_static(kind.allow());
    if method == Method::OPTIONS {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(ALLOW, allow);
        return Ok(response);
    }
    let detail = format!("{method} is not among {}", kind.allow());
    Err(Problem::new(ProblemKind::MethodNotAllowed, detail).header(ALLOW, allow))
}

fn with_type(body: Body, media_type: &'static str) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
