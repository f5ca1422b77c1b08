//! `POST /v1/sql`: a statement in, rows out in the form the client accepts.
//!
//! Whatever goes wrong before the first row is a problem document. After it the answer has begun, and an
//! error cuts it off so that no client takes a part for the whole. A client that goes away, or takes
//! nothing for as long as a request may take to arrive, cancels the query.

use crate::body::{ChannelBody, CutOff};
use crate::problem::{Problem, ProblemKind};
use crate::render::{Format, RenderError, Renderer, TableStyle};
use axum::body::Body;
use bourn_event::{Query, QueryError, QueryOptions, Rows};
use bytes::Bytes;
use futures::StreamExt;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc::Sender;

/// Chunks that wait for the client; a chunk is a rendered batch.
const CHUNKS_MAX: usize = 2;
/// Formats by media type, the default first.
const OFFERED: [Format; 6] =
    [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet, Format::Table];

/// The JSON form of a request; the text form is the statement alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlRequest {
    sql: String,
    limit: Option<i64>,
    timeout: Option<String>,
}

pub(crate) async fn answer(
    query: &dyn Query,
    headers: &HeaderMap,
    body: &[u8],
    stall_max: Duration,
) -> Result<Response<Body>, Problem> {
    let format = accepted(headers)?;
    let request = parse(headers, body)?;
    let timeout = request.timeout.as_deref().map(parse_timeout).transpose()?;
    let limit = request.limit.map(parse_limit).transpose()?;
    let mut rows = query.query(&request.sql, QueryOptions { timeout, limit }).await.map_err(problem)?;
    let renderer = Renderer::new(format, rows.schema.clone(), TableStyle::default());
    let mut renderer = renderer.map_err(render_problem)?;
    if let Some(first) = rows.batches.next().await {
        renderer.write(&first.map_err(problem)?).map_err(render_problem)?;
    }
    let (sender, stream) = ChannelBody::new(CHUNKS_MAX);
    tokio::spawn(stream_rows(rows, renderer, sender, stall_max));
    let mut response = Response::new(Body::new(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(response)
}

/// Sends what is rendered, then the rest. Returning early drops `rows`, which cancels the query.
async fn stream_rows(
    mut rows: Rows,
    mut renderer: Renderer,
    sender: Sender<Result<Bytes, CutOff>>,
    stall_max: Duration,
) {
    loop {
        if !send(&sender, renderer.take(), stall_max).await {
            return;
        }
        let next = tokio::select! {
            next = rows.batches.next() => next,
            () = sender.closed() => return,
        };
        let step = match next {
            Some(Ok(batch)) => renderer.write(&batch),
            Some(Err(error)) => Err(error.into()),
            None => break,
        };
        if let Err(error) = step {
            return cut_off(&sender, &error).await;
        }
    }
    match renderer.finish() {
        Ok(()) => {
            send(&sender, renderer.take(), stall_max).await;
        }
        Err(error) => cut_off(&sender, &error).await,
    }
}

async fn send(sender: &Sender<Result<Bytes, CutOff>>, chunk: Vec<u8>, stall_max: Duration) -> bool {
    if chunk.is_empty() {
        return true;
    }
    match sender.send_timeout(Ok(Bytes::from(chunk)), stall_max).await {
        Ok(()) => true,
        Err(tokio::sync::mpsc::error::SendTimeoutError::Closed(_)) => false,
        Err(tokio::sync::mpsc::error::SendTimeoutError::Timeout(_)) => {
            tracing::info!("a client stopped reading its query's answer; the query is cancelled");
            false
        }
    }
}

async fn cut_off(sender: &Sender<Result<Bytes, CutOff>>, error: &RenderError) {
    tracing::warn!(%error, "a query failed after its first rows were sent");
    // The client may be gone already.
    let _ = sender.send(Err(CutOff(error.to_string()))).await;
}

fn problem(error: QueryError) -> Problem {
    let kind = match &error {
        QueryError::Invalid(_) => ProblemKind::InvalidQuery,
        QueryError::Timeout(_) => ProblemKind::QueryTimeout,
        QueryError::Memory(_) => ProblemKind::QueryMemory,
        QueryError::Failed(_) => ProblemKind::QueryFailed,
    };
    Problem::new(kind, error.to_string())
}

fn render_problem(error: RenderError) -> Problem {
    match error {
        RenderError::Query(error) => problem(error),
        error => Problem::new(ProblemKind::InvalidQuery, format!("{error}; cast the column to text")),
    }
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<SqlRequest, Problem> {
    let content_type = headers.get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?"));
    let essence = content_type.map(|value| value.split(';').next().unwrap_or_default().trim());
    let invalid = |detail: String| Problem::new(ProblemKind::InvalidRequest, detail);
    let request = match essence.map(str::to_ascii_lowercase).as_deref() {
        Some("application/json") => serde_json::from_slice(body)
            .map_err(|error| invalid(format!("the body is not a query request: {error}")))?,
        // `curl -d` says the last one when it is not told otherwise.
        None | Some("text/plain" | "application/sql" | "application/x-www-form-urlencoded") => {
            let sql =
                std::str::from_utf8(body).map_err(|_| invalid("the statement is not UTF-8".to_owned()))?;
            SqlRequest { sql: sql.to_owned(), limit: None, timeout: None }
        }
        Some(other) => {
            let detail = format!("`{other}`: send application/json, application/sql or text/plain");
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
        }
    };
    if request.sql.trim().is_empty() {
        return Err(invalid("the statement is empty".to_owned()));
    }
    Ok(request)
}

/// `[1-9][0-9]{0,5}` and a unit of [`bourn_config::Span`], as the OpenAPI document says.
fn parse_timeout(text: &str) -> Result<Duration, Problem> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let unit = text.get(digits..).unwrap_or_default();
    let plain = (1..=6).contains(&digits)
        && !text.starts_with('0')
        && ["us", "ms", "s", "m", "h", "d", "w"].contains(&unit);
    let span =
        if plain { bourn_config::Span::parse(text) } else { Err(format!("`{text}` is not like `30s`")) };
    span.map(|span| span.0)
        .map_err(|detail| Problem::new(ProblemKind::InvalidRequest, format!("timeout: {detail}")))
}

fn parse_limit(limit: i64) -> Result<usize, Problem> {
    let detail = "limit: it is not a number of rows";
    usize::try_from(limit).map_err(|_| Problem::new(ProblemKind::InvalidRequest, detail))
}

/// The offered format that the `Accept` header weighs highest; of equals the one offered first.
fn accepted(headers: &HeaderMap) -> Result<Format, Problem> {
    let mut ranges = Vec::new();
    for value in headers.get_all(ACCEPT) {
        let Ok(text) = value.to_str() else { continue };
        ranges.extend(text.split(',').filter_map(range));
    }
    if ranges.is_empty() {
        return Ok(OFFERED[0]);
    }
    let mut best: Option<(u16, Format)> = None;
    for format in OFFERED {
        let weight = weight(&ranges, format.media_type());
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, format));
        }
    }
    best.map(|(_, format)| format).ok_or_else(|| {
        let offered: Vec<&str> = OFFERED.iter().map(|format| essence(format.media_type())).collect();
        Problem::new(ProblemKind::NotAcceptable, format!("offered are {}", offered.join(", ")))
    })
}

/// A media range and its weight in thousandths.
fn range(text: &str) -> Option<(String, u16)> {
    let mut parts = text.split(';');
    let range = parts.next()?.trim().to_ascii_lowercase();
    if range.is_empty() {
        return None;
    }
    let q = parts.filter_map(|part| part.trim().strip_prefix("q=")).next();
    let weight = q.and_then(|q| q.trim().parse::<f32>().ok()).unwrap_or(1.0).clamp(0.0, 1.0);
    Some((range, (weight * 1000.0) as u16))
}

/// The weight the most specific matching range gives.
fn weight(ranges: &[(String, u16)], media_type: &str) -> u16 {
    let media_type = essence(media_type);
    let family = media_type.split('/').next().unwrap_or_default();
    let matching = ranges.iter().filter_map(|(range, weight)| {
        let specificity = match range.strip_suffix("/*") {
            Some("*") => 0,
            Some(prefix) if prefix == family => 1,
            None if range == media_type => 2,
            _ => return None,
        };
        Some((specificity, *weight))
    });
    matching.max().map_or(0, |(_, weight)| weight)
}

fn essence(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_picks_the_format() {
        let cases = [
            (None, Some(Format::Json)),
            (Some(""), Some(Format::Json)),
            (Some("*/*"), Some(Format::Json)),
            (Some("text/*"), Some(Format::Csv)),
            (Some("text/plain"), Some(Format::Table)),
            (Some("application/*"), Some(Format::Json)),
            (Some("text/csv"), Some(Format::Csv)),
            (Some("TEXT/CSV; charset=utf-8"), Some(Format::Csv)),
            (Some("text/html, application/x-ndjson;q=0.5, */*;q=0.1"), Some(Format::Ndjson)),
            (Some("application/json;q=0, */*"), Some(Format::Ndjson)),
            (Some("application/vnd.apache.arrow.stream"), Some(Format::Arrow)),
            (Some("application/vnd.apache.parquet, application/json;q=0.9"), Some(Format::Parquet)),
            (Some("image/png"), None),
            (Some("application/json;q=0"), None),
        ];
        for (accept, expected) in cases {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(accepted(&headers).ok(), expected, "{accept:?}");
        }
    }
}
