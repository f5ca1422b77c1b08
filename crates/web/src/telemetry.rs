//! The metrics recorder, and this crate's own metrics with their handles held.
//!
//! | name | type | labels |
//! | --- | --- | --- |
//! | `bourn_http_requests_total` | counter | `route`, `status` |
//! | `bourn_http_request_seconds` | histogram | `route` |
//! | `bourn_http_connections` | gauge | |
//! | `bourn_http_body_bytes` | gauge | |

use crate::WebError;
use crate::route::RouteKind;
use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use std::time::Duration;

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`.
const SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];
/// And of those whose name ends in `_bytes` or `_events`.
const SIZE_BUCKETS: [f64; 9] =
    [1.0, 16.0, 256.0, 4096.0, 65_536.0, 1_048_576.0, 16_777_216.0, 268_435_456.0, 4_294_967_296.0];

/// Makes the process's one metrics recorder; every step records through the `metrics` macros.
///
/// # Errors
/// If a recorder was installed before.
pub fn install_metrics() -> Result<PrometheusHandle, WebError> {
    let fail = |error: metrics_exporter_prometheus::BuildError| WebError::Metrics(error.to_string());
    let mut builder = PrometheusBuilder::new();
    for (suffix, buckets) in
        [("_seconds", &SECONDS_BUCKETS[..]), ("_bytes", &SIZE_BUCKETS[..]), ("_events", &SIZE_BUCKETS[..])]
    {
        builder =
            builder.set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets).map_err(fail)?;
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| WebError::Metrics(error.to_string()))?;
    Ok(handle)
}

/// Statuses with a counter of their own; others share the last, `other`.
const STATUSES: [u16; 20] =
    [200, 202, 204, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 429, 500, 503, 504, 507];

/// The metrics of the server's requests.
pub(crate) struct Telemetry {
    requests: [[OnceLock<Counter>; STATUSES.len() + 1]; RouteKind::COUNT],
    seconds: [OnceLock<Histogram>; RouteKind::COUNT],
    pub(crate) connections: Gauge,
    pub(crate) body_bytes: Gauge,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        describe_counter!("bourn_http_requests_total", "Requests answered, by route and status");
        describe_histogram!("bourn_http_request_seconds", "Time from a request's headers to its answer's");
        describe_gauge!("bourn_http_connections", "Connections that are open");
        describe_gauge!("bourn_http_body_bytes", "Memory that request bodies in flight take");
        Self {
            requests: Default::default(),
            seconds: Default::default(),
            connections: metrics::gauge!("bourn_http_connections"),
            body_bytes: metrics::gauge!("bourn_http_body_bytes"),
        }
    }

    pub(crate) fn record(&self, route: RouteKind, status: StatusCode, took: Duration) {
        let slot = STATUSES.binary_search(&status.as_u16()).unwrap_or(STATUSES.len());
        let counter = self.requests[route as usize][slot].get_or_init(|| {
            let status = STATUSES.get(slot).map_or("other".to_owned(), u16::to_string);
            counter!("bourn_http_requests_total", "route" => route.label(), "status" => status)
        });
        counter.increment(1);
        let seconds = self.seconds[route as usize]
            .get_or_init(|| metrics::histogram!("bourn_http_request_seconds", "route" => route.label()));
        seconds.record(took.as_secs_f64());
    }
}
