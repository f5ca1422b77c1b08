//! What the APIs are given, and the one router in front of them.

use crate::seam::StepFunctions;
use crate::sigv4::Verifier;
use crate::{lambda, states};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::post;
use bourn_config::Aws;
use bourn_event::{Clock, Functions};
use http::Request;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Everything the APIs need.
pub struct AwsOptions {
    /// Region and account in ARNs, and the keys to sign with.
    pub aws: Aws,
    /// Holds the times of signatures against it.
    pub clock: Arc<dyn Clock>,
    pub functions: Arc<dyn Functions>,
    /// Settings of the functions by name, for those who ask (GetFunction).
    pub function_settings: BTreeMap<String, bourn_config::Function>,
    pub workflows: Arc<dyn StepFunctions>,
    /// Cancelled when the server drains: those who wait for an activity's task are answered that there is
    /// none.
    pub drain: CancellationToken,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) aws: Aws,
    pub(crate) verifier: Verifier,
    pub(crate) functions: Arc<dyn Functions>,
    pub(crate) function_settings: BTreeMap<String, bourn_config::Function>,
    pub(crate) workflows: Arc<dyn StepFunctions>,
    pub(crate) drain: CancellationToken,
}

/// Both APIs. Any path it does not know is answered as the Lambda API answers what it does not know.
pub fn router(options: AwsOptions) -> Router {
    let AwsOptions { aws, clock, functions, function_settings, workflows, drain } = options;
    let verifier = Verifier::new(aws.keys.clone(), clock);
    let shared = Arc::new(Shared { aws, verifier, functions, function_settings, workflows, drain });
    Router::new().route("/", post(answer_states)).fallback(answer_lambda).with_state(shared)
}

async fn answer_states(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> axum::response::Response {
    states::answer(shared, request).await
}

async fn answer_lambda(
    State(shared): State<Arc<Shared>>,
    request: Request<Body>,
) -> axum::response::Response {
    lambda::answer(shared, request).await
}
