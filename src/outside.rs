//! What the streams' steps call: the pipeline's functions, and APIs over HTTP with their policies.
//!
//! Streams are opened before the functions are; until [`Reach::connect`] their calls wait. Closing
//! has two moments: from the first on nothing is waited for any more, at the second what is under way
//! is given up. The events of a batch that is cut short come again at the next start.

use crate::definition::Definition;
use anyhow::{Context, Result, anyhow};
use async_trait::async_trait;
use bourn_config::{Connection, Enrich, HttpStep};
use bourn_event::{Clock, Functions, Invocation, InvokeError};
use bourn_integrations::connect;
use bourn_integrations::outbound::{
    BreakerRule, CacheLimits, Look, Outbound, OutboundError, Policy, Request as HttpRequest, Retry, TtlCache,
};
use bourn_refine::{Cached, CallError, Fetched, Outside, Request, step_name};
use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// How long calls that are under way may take after the pipeline was asked to close.
const GRACE: Duration = Duration::from_secs(10);

/// Where the pipeline's streams reach to.
pub struct Reach {
    runtime: Handle,
    outbound: Outbound,
    steps: HashMap<String, Step>,
    functions: OnceLock<Arc<dyn Functions>>,
    closing: CancellationToken,
    over: CancellationToken,
}

/// An `http` step.
struct Step {
    policy: Policy,
    headers: HeaderMap,
    connection: Option<(String, Connection)>,
    cache: Option<TtlCache<Bytes, ()>>,
}

impl Reach {
    /// For a pipeline whose functions will be connected.
    pub fn open(definition: &Definition, clock: &Arc<dyn Clock>) -> Result<Arc<Self>> {
        let pipeline = &definition.loaded.pipeline;
        let mut steps = HashMap::new();
        for (stream, settings) in &pipeline.streams {
            for (at, step) in settings.enrich.iter().enumerate() {
                if let Enrich::Http(step) = step {
                    let name = step_name(stream, at);
                    let made = Step::new(step, &pipeline.connections, clock);
                    steps.insert(name.clone(), made.with_context(|| format!("the step {name}"))?);
                }
            }
        }
        Ok(Arc::new(Self {
            runtime: Handle::current(),
            outbound: Outbound::new(clock.clone())?,
            steps,
            functions: OnceLock::new(),
            closing: CancellationToken::new(),
            over: CancellationToken::new(),
        }))
    }

    /// The client that all calls over HTTP share.
    pub fn outbound(&self) -> Outbound {
        self.outbound.clone()
    }

    /// From now on functions can be invoked.
    pub fn connect(&self, functions: Arc<dyn Functions>) {
        if self.functions.set(functions).is_err() {
            tracing::error!("functions were connected twice; the first stay");
        }
    }

    /// Nothing is waited for any more; what is under way has a while to end.
    pub fn close(&self) {
        self.closing.cancel();
        let over = self.over.clone();
        self.runtime.spawn(async move {
            tokio::time::sleep(GRACE).await;
            over.cancel();
        });
    }

    fn step(&self, name: &str) -> Result<&Step, CallError> {
        self.steps.get(name).ok_or_else(|| CallError::Impossible(format!("there is no step {name}")))
    }

    /// Runs the future on the runtime until the grace is over; drops it when nobody waits any more.
    async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, CallError> {
        let task = AbortOnDropHandle::new(self.runtime.spawn(call));
        tokio::select! {
            biased;
            () = self.over.cancelled() => Err(CallError::Closed),
            done = task => done.map_err(|error| match error.is_cancelled() {
                true => CallError::Closed,
                false => CallError::Failed(format!("the call panicked: {error}")),
            }),
        }
    }
}

#[async_trait]
impl Outside for Reach {
    async fn invoke(&self, function: &str, payload: Bytes) -> Result<Bytes, CallError> {
        let Some(functions) = self.functions.get().cloned() else {
            return Err(CallError::Unavailable {
                why: "the functions are starting".into(),
                retry_after: None,
            });
        };
        let call = Invocation { function: function.to_owned(), payload, ..Invocation::default() };
        let answer = self.run(async move { functions.invoke(call).await }).await?;
        match answer {
            Ok(answer) if answer.error.is_none() => Ok(answer.payload),
            Ok(answer) => Err(CallError::Failed(error_text(function, &answer.payload))),
            Err(error) => Err(refusal(error)),
        }
    }

    async fn fetch(&self, step: &str, request: &Request) -> Result<Fetched, CallError> {
        let settings = self.step(step)?;
        let bad = |why: String| CallError::Failed(format!("the request to {step} cannot be sent: {why}"));
        let url = reqwest::Url::parse(&request.url).map_err(|error| bad(error.to_string()))?;
        let mut headers = settings.headers.clone();
        if let Some((name, connection)) = &settings.connection {
            connect(name, connection, &url, &mut headers).map_err(bad)?;
        }
        let method = request.method.parse().map_err(|_| bad("unknown method".into()))?;
        let call = HttpRequest {
            endpoint: step.to_owned(),
            method,
            url,
            headers,
            body: request.body.clone().unwrap_or_default(),
        };
        let (outbound, policy) = (self.outbound.clone(), settings.policy.clone());
        match self.run(async move { outbound.call(&call, &policy).await }).await? {
            Ok(response) => Ok(Fetched { status: response.status, body: response.body }),
            Err(error) if error.is_retryable() => {
                let retry_after = match &error {
                    OutboundError::Open { retry_after, .. } => Some(*retry_after),
                    _ => None,
                };
                Err(CallError::Unavailable { why: error.to_string(), retry_after })
            }
            Err(error) => Err(CallError::Failed(error.to_string())),
        }
    }

    fn look(&self, step: &str, key: &str) -> Cached {
        let cache = self.steps.get(step).and_then(|step| step.cache.as_ref());
        match cache.map_or(Look::Unknown, |cache| cache.look(key)) {
            Look::Found(answer) => Cached::Found(answer),
            Look::Absent => Cached::Absent,
            Look::Unknown => Cached::Unknown,
        }
    }

    fn keep(&self, step: &str, key: &str, answer: Option<Bytes>) {
        if let Some(cache) = self.steps.get(step).and_then(|step| step.cache.as_ref()) {
            cache.put(key, answer);
        }
    }

    async fn pause(&self, wait: Duration) -> Result<(), CallError> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(CallError::Closed),
            waited = self.run(async move { tokio::time::sleep(wait).await }) => waited,
        }
    }
}

/// What a function says of its error: `{"errorType", "errorMessage"}`.
fn error_text(function: &str, payload: &[u8]) -> String {
    let error: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    match (error["errorType"].as_str(), error["errorMessage"].as_str()) {
        (Some(kind), Some(message)) if !kind.is_empty() => format!("{kind}: {message}"),
        (_, Some(message)) => message.to_owned(),
        _ => format!("the function `{function}` failed"),
    }
}

fn refusal(error: InvokeError) -> CallError {
    let why = error.to_string();
    match error {
        InvokeError::Closed => CallError::Closed,
        InvokeError::Throttled { retry_after, .. } => {
            CallError::Unavailable { why, retry_after: Some(retry_after) }
        }
        InvokeError::Unavailable { .. } => CallError::Unavailable { why, retry_after: None },
        InvokeError::NotFound(_) => CallError::Impossible(why),
        InvokeError::TooLarge { .. } | InvokeError::Invalid(_) => CallError::Failed(why),
    }
}

impl Step {
    fn new(
        settings: &HttpStep,
        connections: &BTreeMap<String, Connection>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self> {
        let connection = settings.connection.as_ref().and_then(|name| {
            let connection = connections.get(name)?;
            Some((name.clone(), connection.clone()))
        });
        let (retry, breaker) = (&settings.retry, &settings.breaker);
        let policy = Policy {
            timeout: settings.timeout.0,
            response_bytes_max: settings.max_answer.bytes(),
            concurrency: settings.concurrency as usize,
            retry: Retry {
                attempts: retry.max + 1,
                base: retry.initial.0,
                pause_max: retry.max_delay.0,
                ..Retry::default()
            },
            breaker: Some(BreakerRule {
                failures: breaker.failures,
                failure_percent: 0,
                open_for: breaker.open.0,
                open_for_max: breaker.open.0,
                probes: 1,
                ..BreakerRule::default()
            }),
        };
        let cache = settings.cache.as_ref().map(|cache| {
            let limits = CacheLimits {
                bytes_max: cache.size.bytes(),
                ttl: cache.ttl.0,
                negative_ttl: cache.negative_ttl.0,
            };
            TtlCache::new(limits, clock.clone(), |answer: &Bytes| answer.len())
        });
        if let Some((name, connection)) = &connection {
            // Told now, and not with every event.
            let own = reqwest::Url::parse(connection.url.as_deref().unwrap_or("http://localhost/"))?;
            connect(name, connection, &own, &mut HeaderMap::new()).map_err(|why| anyhow!(why))?;
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { policy, headers, connection, cache })
    }
}
