//! Sends a file of events over HTTP, as an idempotent producer: a request that is tried again
//! stores nothing twice.

use crate::client::{Client, checked};
use crate::progress;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often a request is tried before the sender gives up.
const TRIES: u32 = 8;
/// Rejects that are told one by one.
const ERRORS_TOLD: usize = 10;

/// NDJSON from a file or standard input, inflated.
pub struct Source {
    lines: Box<dyn BufRead + Send>,
    bytes_total: u64,
    bytes_read: Arc<AtomicU64>,
}

impl Source {
    pub fn open(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            return Self::of(Box::new(std::io::stdin()), 0);
        }
        let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        let length = file.metadata()?.len();
        Self::of(Box::new(file), length)
    }

    /// Told by its first bytes: gzip, zstd, or plain.
    pub fn of(input: Box<dyn Read + Send>, bytes_total: u64) -> Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let mut counted = BufReader::with_capacity(1 << 18, Counted { input, read: bytes_read.clone() });
        let start = counted.fill_buf()?;
        let lines: Box<dyn BufRead + Send> = match start {
            [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(counted))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Box::new(
                BufReader::with_capacity(1 << 18, zstd::stream::read::Decoder::with_buffer(counted)?),
            ),
            _ => Box::new(counted),
        };
        Ok(Self { lines, bytes_total, bytes_read })
    }
}

struct Counted {
    input: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// What became of a file.
#[derive(Debug, Default, Serialize)]
pub struct Sent {
    pub accepted: u64,
    pub rejected: u64,
    /// The first few rejects.
    pub errors: Vec<LineError>,
}

/// A reject, by its line in the file (from 1).
#[derive(Debug, Serialize)]
pub struct LineError {
    pub line: u64,
    pub pointer: String,
    pub keyword: String,
    pub message: String,
}

#[derive(Deserialize)]
struct Answer {
    accepted: u64,
    rejected: u64,
    #[serde(default)]
    errors: Vec<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    index: u64,
    pointer: String,
    keyword: String,
    message: String,
}

/// Sends every line, `batch` of them a request. Whatever was sent before as the same `producer` is
/// not stored again.
pub async fn send(
    client: &Client,
    stream: &str,
    mut source: Source,
    batch: usize,
    producer: &str,
) -> Result<Sent> {
    let bar = progress::bytes(source.bytes_total, "sending");
    let (mut sent, mut sequence, mut line) = (Sent::default(), 0u64, 1u64);
    loop {
        let (body, lines) = next_batch(&mut source.lines, batch)?;
        if lines == 0 {
            break;
        }
        sequence += 1;
        let answer = request(client, stream, body, producer, sequence).await?;
        sent.accepted += answer.accepted;
        sent.rejected += answer.rejected;
        let room = ERRORS_TOLD.saturating_sub(sent.errors.len());
        sent.errors.extend(answer.errors.into_iter().take(room).map(|error| LineError {
            line: line + error.index,
            pointer: error.pointer,
            keyword: error.keyword,
            message: error.message,
        }));
        line += lines;
        bar.set_position(source.bytes_read.load(Ordering::Relaxed));
    }
    bar.finish_and_clear();
    Ok(sent)
}

fn next_batch(input: &mut dyn BufRead, batch: usize) -> Result<(Vec<u8>, u64)> {
    let mut body = Vec::with_capacity(batch * 256);
    let mut lines = 0;
    while lines < batch as u64 {
        let start = body.len();
        if input.read_until(b'\n', &mut body).context("cannot read the events")? == 0 {
            break;
        }
        match body[start..].iter().all(u8::is_ascii_whitespace) {
            true => body.truncate(start),
            false => lines += 1,
        }
    }
    Ok((body, lines))
}

async fn request(
    client: &Client,
    stream: &str,
    body: Vec<u8>,
    producer: &str,
    sequence: u64,
) -> Result<Answer> {
    let body = bytes::Bytes::from(body);
    let (mut wait, mut attempt) = (Duration::from_millis(100), 1);
    loop {
        let answer = client
            .post(&format!("/v1/streams/{stream}"))
            .header("content-type", "application/x-ndjson")
            .header("bourn-producer", producer)
            .header("bourn-sequence", sequence)
            .body(body.clone())
            .send()
            .await;
        match answer {
            Ok(answer) if !is_worth_retrying(answer.status()) => {
                return Ok(checked(answer).await?.json().await?);
            }
            outcome if attempt == TRIES => {
                checked(outcome.with_context(|| format!("cannot reach {}", client.base()))?).await?;
                bail!("gave up after {TRIES} tries");
            }
            Ok(answer) => wait = retry_after(&answer).unwrap_or(wait),
            Err(_) => {}
        }
        tokio::time::sleep(wait).await;
        (wait, attempt) = ((wait * 2).min(Duration::from_secs(5)), attempt + 1);
    }
}

fn is_worth_retrying(status: reqwest::StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get("retry-after")?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
