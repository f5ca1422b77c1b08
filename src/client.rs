//! How verbs talk to the process that runs the pipeline.

use anyhow::{Context, Result, anyhow, bail};
use bourn_config::Pipeline;
use futures::StreamExt;
use serde_json::Value;
use std::path::Path;

/// Environment variable with the API key that verbs send.
const KEY_VARIABLE: &str = "BOURN_API_KEY";

/// A running pipeline, over HTTP.
pub struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    /// The process that owns `state`, if there is one and it serves.
    pub fn of_running(pipeline: &Pipeline, state: &Path) -> Result<Option<Self>> {
        let Some(held) = bourn_state::OwnerLock::inspect(state)? else { return Ok(None) };
        let Some(address) = held.http else {
            bail!(
                "process {} owns {} but does not serve yet; try again in a moment",
                held.pid,
                state.display()
            )
        };
        let scheme = if pipeline.server.tls.is_some() { "https" } else { "http" };
        Self::to(&format!("{scheme}://{address}"), pipeline.server.tls.is_some()).map(Some)
    }

    /// A pipeline at an address.
    pub fn to(base: &str, is_own_certificate: bool) -> Result<Self> {
        let mut headers = reqwest::header::HeaderMap::new();
        if let Ok(key) = std::env::var(KEY_VARIABLE) {
            let value = format!("Bearer {key}").parse().context("BOURN_API_KEY is not a header value")?;
            headers.insert(reqwest::header::AUTHORIZATION, value);
        }
        let http = reqwest::Client::builder()
            .default_headers(headers)
            // On this machine the owner's certificate proves nothing more than the lock file did.
            .danger_accept_invalid_certs(is_own_certificate)
            .build()?;
        Ok(Self { base: base.trim_end_matches('/').to_string(), http })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.base))
    }

    /// Calls an admin verb; `progress` sees each of its progress values.
    pub async fn admin(&self, verb: &str, args: &Value, mut progress: impl FnMut(&Value)) -> Result<Value> {
        let answer = self.post(&format!("/v1/admin/{verb}")).json(args).send().await?;
        let answer = checked(answer).await?;
        let mut lines = answer.bytes_stream();
        let mut pending = Vec::new();
        while let Some(chunk) = lines.next().await {
            pending.extend_from_slice(&chunk?);
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Value = serde_json::from_slice(&pending[..end])?;
                pending.drain(..=end);
                if let Some(result) = line.get("result") {
                    return Ok(result.clone());
                }
                if let Some(error) = line.get("error") {
                    bail!("{}", error.as_str().map_or_else(|| error.to_string(), str::to_string));
                }
                if let Some(value) = line.get("progress") {
                    progress(value);
                }
            }
        }
        Err(anyhow!("the running pipeline ended before it answered"))
    }
}

/// Turns a problem document into an error with its words.
pub async fn checked(answer: reqwest::Response) -> Result<reqwest::Response> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let body = answer.text().await.unwrap_or_default();
    let problem: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
    match problem.get("detail").or_else(|| problem.get("title")).and_then(Value::as_str) {
        Some(text) => bail!("{text} ({})", status.as_u16()),
        None => bail!("{status}: {body}"),
    }
}
