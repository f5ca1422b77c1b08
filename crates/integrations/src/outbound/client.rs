//! The HTTP client: one pool of connections, and what each endpoint is allowed.

use super::retry::{is_passing, retry_after};
use super::{Breaker, BreakerRule, BreakerState, OutboundError, Outcome, Permit, Retry};
use bourn_event::Clock;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Endpoints whose breaker and slots are remembered; beyond it, those that are well and idle are forgotten.
const ENDPOINTS_MAX: usize = 4096;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const POOL_IDLE: Duration = Duration::from_secs(60);
const USER_AGENT: &str = concat!("bourn/", env!("CARGO_PKG_VERSION"));

/// One call.
#[derive(Clone)]
pub struct Request {
    /// Names what the breaker, the slots and the metrics count as one: a stage, a connection, a host.
    /// Holds no secret.
    pub endpoint: String,
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("endpoint", &self.endpoint)
            .field("method", &self.method)
            .field("host", &self.url.host_str().unwrap_or_default())
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What was answered, whatever the status.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How many attempts it took.
    pub attempts: u32,
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("body_bytes", &self.body.len())
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}

/// What a call may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// For one attempt: from the connection to the last byte of the answer.
    pub timeout: Duration,
    pub response_bytes_max: usize,
    /// Attempts at once on this endpoint; further ones wait for a slot. The first policy that an
    /// endpoint is called with decides its slots and its breaker.
    pub concurrency: usize,
    pub retry: Retry,
    /// No breaker if absent.
    pub breaker: Option<BreakerRule>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            response_bytes_max: 8 << 20,
            concurrency: 32,
            retry: Retry::default(),
            breaker: Some(BreakerRule::default()),
        }
    }
}

/// How an endpoint stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    pub endpoint: String,
    /// Absent without a breaker.
    pub breaker: Option<BreakerState>,
    /// Attempts that wait for their answer.
    pub in_flight: usize,
}

/// Calls outside APIs. Cheap to clone; all clones share connections, breakers and slots. Redirects are
/// not followed: they are answers. The proxies of the environment (`HTTPS_PROXY`, `NO_PROXY`) are used.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    endpoints: Mutex<HashMap<String, Arc<Endpoint>>>,
    /// Of a small generator; the jitter only has to differ between processes and calls.
    random: AtomicU64,
}

struct Endpoint {
    name: String,
    slots: Semaphore,
    slots_max: usize,
    breaker: Option<Mutex<Breaker>>,
}

impl Outbound {
    /// A client. The process must have installed a rustls crypto provider.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        Self::build(clock, reqwest::Client::builder())
    }

    /// A client that ignores the environment's proxies.
    pub fn without_proxy(clock: Arc<dyn Clock>) -> Result<Self, OutboundError> {
        Self::build(clock, reqwest::Client::builder().no_proxy())
    }

    fn build(clock: Arc<dyn Clock>, builder: reqwest::ClientBuilder) -> Result<Self, OutboundError> {
        let client = builder
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| OutboundError::Invalid {
                endpoint: "any host".into(),
                why: error.to_string(),
            })?;
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let shared = Shared { client, clock, endpoints: Mutex::default(), random: AtomicU64::new(seed) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Makes the call, again if need be, and gives the last answer. Statuses of overload and failure
    /// (408, 425, 429, 5xx) and missing answers are tried again as `policy.retry` says.
    pub async fn call(&self, request: &Request, policy: &Policy) -> Result<Response, OutboundError> {
        let endpoint = self.endpoint(&request.endpoint, policy);
        let mut last = None;
        let mut attempts = 0;
        loop {
            let outcome = match self.attempt(&endpoint, request, policy).await {
                // What the endpoint itself said is worth more than that it is left alone now.
                Err(open @ OutboundError::Open { .. }) => return last.unwrap_or(Err(open)),
                outcome => outcome,
            };
            attempts += 1;
            let outcome = outcome.map(|response| Response { attempts, ..response });
            let wanted = match &outcome {
                Ok(response) if is_passing(response.status) => response
                    .headers
                    .get(reqwest::header::RETRY_AFTER)
                    .and_then(|header| retry_after(header.to_str().ok()?, self.shared.clock.now())),
                Err(error) if error.is_retryable() => None,
                _ => return outcome,
            };
            let Some(pause) = policy.retry.pause(attempts, wanted, self.random()) else { return outcome };
            last = Some(outcome);
            tokio::time::sleep(pause).await;
        }
    }

    /// The breaker of an endpoint that was called before.
    pub fn breaker(&self, endpoint: &str) -> Option<BreakerState> {
        let endpoint = self.shared.endpoints.lock().get(endpoint)?.clone();
        endpoint.state(&*self.shared.clock)
    }

    /// All endpoints that are remembered, by name.
    pub fn endpoints(&self) -> Vec<EndpointStatus> {
        let endpoints: Vec<_> = self.shared.endpoints.lock().values().cloned().collect();
        let mut all: Vec<_> = endpoints
            .iter()
            .map(|endpoint| EndpointStatus {
                endpoint: endpoint.name.clone(),
                breaker: endpoint.state(&*self.shared.clock),
                in_flight: endpoint.slots_max - endpoint.slots.available_permits(),
            })
            .collect();
        all.sort_unstable_by(|a, b| a.endpoint.cmp(&b.endpoint));
        all
    }

    async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        request: &Request,
        policy: &Policy,
    ) -> Result<Response, OutboundError> {
        // The breaker is asked behind the slot: those who waited for one learn that it has opened.
        let _slot = endpoint.slots.acquire().await.map_err(|_| OutboundError::Broken {
            endpoint: endpoint.name.clone(),
            why: "the client is closing".into(),
        })?;
        let admitted = Admitted::ask(endpoint, &self.shared.clock)?;
        let started = Instant::now();
        let outcome = match tokio::time::timeout(policy.timeout, self.exchange(endpoint, request, policy))
            .await
        {
            Ok(outcome) => outcome,
            Err(_) => Err(OutboundError::Timeout { endpoint: endpoint.name.clone(), limit: policy.timeout }),
        };
        admitted.record(match &outcome {
            Ok(response) if is_passing(response.status) => Outcome::Failure,
            Ok(_) => Outcome::Success,
            Err(error) if error.is_retryable() => Outcome::Failure,
            Err(OutboundError::TooLarge { .. }) => Outcome::Success,
            Err(_) => Outcome::Abandoned,
        });
        endpoint.count(&outcome, started.elapsed());
        outcome
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        policy: &Policy,
    ) -> Result<Response, OutboundError> {
        let fail = |error| OutboundError::of(error, &endpoint.name, policy.timeout);
        let too_large = || OutboundError::TooLarge {
            endpoint: endpoint.name.clone(),
            bytes_max: policy.response_bytes_max,
        };
        let mut answer = self
            .shared
            .client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(fail)?;
        if answer.content_length().is_some_and(|length| length > policy.response_bytes_max as u64) {
            return Err(too_large());
        }
        let (status, headers) = (answer.status().as_u16(), std::mem::take(answer.headers_mut()));
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(fail)? {
            if body.len() + chunk.len() > policy.response_bytes_max {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze(), attempts: 1 })
    }

    fn endpoint(&self, name: &str, policy: &Policy) -> Arc<Endpoint> {
        let mut endpoints = self.shared.endpoints.lock();
        if let Some(endpoint) = endpoints.get(name) {
            return endpoint.clone();
        }
        if endpoints.len() >= ENDPOINTS_MAX {
            let clock = &*self.shared.clock;
            endpoints.retain(|_, endpoint| {
                Arc::strong_count(endpoint) > 1
                    || endpoint.state(clock).is_some_and(|state| state != BreakerState::Closed)
            });
        }
        let slots_max = policy.concurrency.clamp(1, Semaphore::MAX_PERMITS);
        let endpoint = Arc::new(Endpoint {
            name: name.to_string(),
            slots: Semaphore::new(slots_max),
            slots_max,
            breaker: policy.breaker.clone().map(|rule| Mutex::new(Breaker::new(rule))),
        });
        if endpoints.len() < ENDPOINTS_MAX {
            endpoints.insert(name.to_string(), endpoint.clone());
        }
        endpoint
    }

    /// The next number within [0, 1) (SplitMix64).
    fn random(&self) -> f64 {
        let mut z = self.shared.random.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").finish_non_exhaustive()
    }
}

impl Endpoint {
    fn state(&self, clock: &dyn Clock) -> Option<BreakerState> {
        self.breaker.as_ref().map(|breaker| breaker.lock().state(clock.now()))
    }

    fn count(&self, outcome: &Result<Response, OutboundError>, took: Duration) {
        let word = match outcome {
            Ok(response) if response.is_success() => "success",
            Ok(_) => "status",
            Err(OutboundError::Timeout { .. }) => "timeout",
            Err(OutboundError::Connect { .. }) => "connect",
            Err(OutboundError::TooLarge { .. }) => "too_large",
            Err(_) => "broken",
        };
        let labels = [("endpoint", self.name.clone()), ("outcome", word.to_string())];
        metrics::counter!("bourn_outbound_calls_total", &labels).increment(1);
        metrics::histogram!("bourn_outbound_seconds", "endpoint" => self.name.clone())
            .record(took.as_secs_f64());
    }

    /// 0 closed, 1 half-open, 2 open.
    fn show(&self, state: BreakerState) {
        metrics::gauge!("bourn_outbound_breaker_state", "endpoint" => self.name.clone()).set(match state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        });
    }
}

/// A permit of an endpoint's breaker; dropped without an outcome, the call counts as abandoned.
struct Admitted<'a> {
    endpoint: &'a Endpoint,
    clock: &'a dyn Clock,
    permit: Option<Permit>,
}

impl<'a> Admitted<'a> {
    fn ask(endpoint: &'a Endpoint, clock: &'a Arc<dyn Clock>) -> Result<Self, OutboundError> {
        let clock = &**clock;
        let Some(breaker) = &endpoint.breaker else { return Ok(Self { endpoint, clock, permit: None }) };
        let (admitted, state) = {
            let mut breaker = breaker.lock();
            let now = clock.now();
            (breaker.admit(now), breaker.state(now))
        };
        endpoint.show(state);
        match admitted {
            Ok(permit) => Ok(Self { endpoint, clock, permit: Some(permit) }),
            Err(refused) => {
                let labels = [("endpoint", endpoint.name.clone()), ("outcome", "open".to_string())];
                metrics::counter!("bourn_outbound_calls_total", &labels).increment(1);
                Err(OutboundError::Open { endpoint: endpoint.name.clone(), retry_after: refused.retry_after })
            }
        }
    }

    fn record(mut self, outcome: Outcome) {
        self.hand_back(outcome);
    }

    fn hand_back(&mut self, outcome: Outcome) {
        let (Some(permit), Some(breaker)) = (self.permit.take(), &self.endpoint.breaker) else { return };
        let now = self.clock.now();
        let (before, after) = {
            let mut breaker = breaker.lock();
            let before = breaker.state(now);
            breaker.record(now, permit, outcome);
            (before, breaker.state(now))
        };
        if before != after {
            tracing::info!(endpoint = %self.endpoint.name, from = ?before, to = ?after, "circuit breaker");
            self.endpoint.show(after);
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.hand_back(Outcome::Abandoned);
    }
}
