//! A function as a step: batches of events in order, and what is answered for each.
//!
//! ```text
//!  batch ─ fails ─► again, `retries` times ─► halves ─► … ─► one event: again, then it has failed
//!        ─ names some that failed ─► those again, `retries` times ─► they have failed
//!        ─ cannot be reached, throttled ─► waits, for as long as it takes
//! ```

use super::answer::{RowsBuilder, Takes, read_records};
use super::encode::{Rows, write_text};
use super::{Answered, CallError, Outside, WAIT_MAX, WAIT_MIN};
use crate::refiner::RefineError;
use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::interleave;
use bourn_config::{Calls, Take};
use bourn_event::Offset;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// As AWS Lambda limits the payload of an invocation, less what stands around the records.
const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024 - 1024;

/// A function step, resolved.
#[derive(Clone, Debug)]
pub struct FunctionPlan {
    pub function: String,
    stream: String,
    takes: Takes,
    calls: Calls,
    /// Does a transform ask? Then an answer without records means the events as they are.
    keeps_events: bool,
}

/// One batch to be called with.
struct Job {
    rows: Vec<u32>,
    /// Calls that failed so far.
    failures: u32,
    retries: u32,
}

/// Rows that were answered together.
struct Piece {
    columns: Vec<ArrayRef>,
}

/// What became of a chunk's rows.
#[derive(Default)]
struct Gathered {
    pieces: Vec<Piece>,
    /// Row, piece, place in it.
    answered: Vec<(u32, usize, usize)>,
    absent: Vec<u32>,
    failed: Vec<(u32, String)>,
}

/// A batch that is being put through.
struct Work<'a> {
    plan: &'a FunctionPlan,
    outside: &'a dyn Outside,
    rows: Rows,
    offsets: &'a [Offset],
}

impl FunctionPlan {
    pub fn new(
        stream: &str,
        function: &str,
        takes: &BTreeMap<String, Take>,
        calls: Calls,
        keeps_events: bool,
    ) -> Self {
        let (function, stream) = (function.to_owned(), stream.to_owned());
        Self { function, stream, takes: Takes::new(takes), calls, keeps_events }
    }

    pub fn fields(&self) -> &[arrow::datatypes::FieldRef] {
        &self.takes.fields
    }

    /// Invokes the function with the batch's rows, whose offsets these are.
    pub async fn call(
        &self,
        outside: &dyn Outside,
        batch: &RecordBatch,
        offsets: &[Offset],
    ) -> Result<Answered, RefineError> {
        let work = Work { plan: self, outside, rows: Rows::new(batch)?, offsets };
        let work = &work;
        let mut next = 0;
        let chunks = std::iter::from_fn(|| work.chunk(&mut next));
        let gathered: Vec<Gathered> = stream::iter(chunks)
            .map(|(payload, rows)| work.settle(payload, rows))
            .buffered(self.calls.in_flight)
            .try_collect()
            .await?;
        assemble(self, gathered, offsets.len())
    }
}

impl Work<'_> {
    /// The next rows that make a payload, and it.
    fn chunk(&self, next: &mut u32) -> Option<(Vec<u8>, Vec<u32>)> {
        let first = *next as usize;
        if first == self.offsets.len() {
            return None;
        }
        let mut payload = self.begin();
        let mut rows = Vec::new();
        while rows.len() < self.plan.calls.batch && (*next as usize) < self.offsets.len() {
            let before = payload.len();
            self.write_record(*next, rows.is_empty(), &mut payload);
            if payload.len() > PAYLOAD_BYTES_MAX && !rows.is_empty() {
                payload.truncate(before);
                break;
            }
            rows.push(*next);
            *next += 1;
        }
        payload.extend_from_slice(b"]}");
        Some((payload, rows))
    }

    fn payload(&self, rows: &[u32]) -> Vec<u8> {
        let mut payload = self.begin();
        for (at, row) in rows.iter().enumerate() {
            self.write_record(*row, at == 0, &mut payload);
        }
        payload.extend_from_slice(b"]}");
        payload
    }

    fn begin(&self) -> Vec<u8> {
        let mut payload = Vec::with_capacity(64 * 1024);
        payload.extend_from_slice(b"{\"stream\":");
        write_text(&self.plan.stream, &mut payload);
        payload.extend_from_slice(b",\"records\":[");
        payload
    }

    fn write_record(&self, row: u32, is_first: bool, payload: &mut Vec<u8>) {
        if !is_first {
            payload.push(b',');
        }
        payload.extend_from_slice(b"{\"offset\":");
        payload.extend_from_slice(self.offsets[row as usize].to_string().as_bytes());
        payload.extend_from_slice(b",\"event\":");
        self.rows.write(row as usize, payload);
        payload.push(b'}');
    }

    /// Calls until every row of the chunk is answered or has failed.
    async fn settle(&self, payload: Vec<u8>, rows: Vec<u32>) -> Result<Gathered, RefineError> {
        let mut gathered = Gathered::default();
        let mut encoded = Some(payload);
        let mut jobs = vec![Job { rows, failures: 0, retries: self.plan.calls.retries }];
        while let Some(job) = jobs.pop() {
            let payload = encoded.take().unwrap_or_else(|| self.payload(&job.rows));
            if payload.len() > PAYLOAD_BYTES_MAX + 2 {
                let why = format!("the event is {} bytes as JSON; a function takes 6 MiB", payload.len());
                self.give_up(job, why, &mut jobs, &mut gathered);
                continue;
            }
            if job.failures > 0 {
                let wait = WAIT_MIN * 2u32.saturating_pow(job.failures.min(16) - 1);
                self.outside.pause(wait.min(WAIT_MAX)).await?;
            }
            let outcome = match self.invoke(payload.into()).await? {
                Ok(answer) => self.read(&answer, &job, &mut gathered, &mut jobs),
                Err(why) => Err(why),
            };
            match outcome {
                Ok(()) => {}
                Err(_) if job.failures < job.retries => {
                    jobs.push(Job { failures: job.failures + 1, ..job });
                }
                Err(why) => self.give_up(job, why, &mut jobs, &mut gathered),
            }
        }
        Ok(gathered)
    }

    /// A batch that keeps failing is split; an event that does has failed.
    fn give_up(&self, mut job: Job, why: String, jobs: &mut Vec<Job>, gathered: &mut Gathered) {
        if job.rows.len() == 1 {
            gathered.failed.extend(job.rows.first().map(|row| (*row, why)));
            return;
        }
        let rest = job.rows.split_off(job.rows.len() / 2);
        for rows in [rest, job.rows] {
            // A batch has shown that it fails; an event alone has not.
            let retries = if rows.len() == 1 { self.plan.calls.retries } else { 0 };
            jobs.push(Job { rows, failures: 0, retries });
        }
    }

    /// The answer, or why the function failed. Waits for as long as it cannot be reached.
    async fn invoke(&self, payload: Bytes) -> Result<Result<Bytes, String>, RefineError> {
        let mut wait = WAIT_MIN;
        let mut told = false;
        let labels = [("stream", self.plan.stream.clone()), ("function", self.plan.function.clone())];
        let waiting = metrics::gauge!("bourn_stage_waiting", &labels);
        loop {
            let begun = Instant::now();
            let outcome = self.outside.invoke(&self.plan.function, payload.clone()).await;
            metrics::histogram!("bourn_stage_function_seconds", &labels)
                .record(begun.elapsed().as_secs_f64());
            let word = match &outcome {
                Ok(_) => "answered",
                Err(CallError::Failed(_)) => "failed",
                Err(CallError::Unavailable { .. }) => "unavailable",
                Err(_) => "closed",
            };
            let [stream, function] = labels.clone();
            metrics::counter!(
                "bourn_stage_function_calls_total",
                &[stream, function, ("outcome", word.to_owned())]
            )
            .increment(1);
            if told && !matches!(outcome, Err(CallError::Unavailable { .. })) {
                waiting.set(0.0);
            }
            match outcome {
                Ok(answer) => return Ok(Ok(answer)),
                Err(CallError::Failed(why)) => return Ok(Err(why)),
                Err(CallError::Unavailable { why, retry_after }) => {
                    if !told {
                        tracing::warn!(
                            stream = self.plan.stream,
                            function = self.plan.function,
                            "waiting: {why}"
                        );
                        waiting.set(1.0);
                        told = true;
                    }
                    self.outside
                        .pause(retry_after.unwrap_or(wait).clamp(Duration::from_millis(1), WAIT_MAX))
                        .await?;
                    wait = (wait * 2).min(WAIT_MAX);
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// Takes the answer's rows; those it names as failed are tried again, or have failed.
    fn read(
        &self,
        answer: &[u8],
        job: &Job,
        gathered: &mut Gathered,
        jobs: &mut Vec<Job>,
    ) -> Result<(), String> {
        let count = job.rows.len();
        let mut rows = self.plan.takes.rows(count);
        let records = read_records(answer, count, &mut rows)?;
        let named = self.named(&records.failures, job)?;
        if !records.given {
            self.take_events(job, &mut rows)?;
        }
        let (columns, faults, absent) = rows.finish();
        let mut over: HashMap<usize, String> =
            faults.into_iter().map(|(at, why)| (at as usize, why)).collect();
        let mut again = Vec::new();
        for (at, why) in named {
            over.insert(at, why.unwrap_or_else(|| "the function named it in `batchItemFailures`".to_owned()));
            again.push(at);
        }
        let piece = gathered.pieces.len();
        gathered.pieces.push(Piece { columns });
        for (at, row) in job.rows.iter().enumerate().filter(|(at, _)| !over.contains_key(at)) {
            gathered.answered.push((*row, piece, at));
        }
        gathered.absent.extend(
            absent.iter().filter(|at| !over.contains_key(&(**at as usize))).map(|at| job.rows[*at as usize]),
        );
        let retried = job.failures < job.retries;
        if retried && !again.is_empty() {
            let rows = again.iter().map(|at| job.rows[*at]).collect();
            jobs.push(Job { rows, failures: job.failures + 1, retries: job.retries });
            again.iter().for_each(|at| drop(over.remove(at)));
        }
        gathered.failed.extend(over.into_iter().map(|(at, why)| (job.rows[at], why)));
        Ok(())
    }

    /// Places in the batch of the events that the function named. One that it does not name, or that
    /// was not in the batch, means the whole batch, as with AWS.
    fn named(
        &self,
        failures: &[(Option<String>, Option<String>)],
        job: &Job,
    ) -> Result<Vec<(usize, Option<String>)>, String> {
        let mut named = BTreeMap::new();
        for (offset, message) in failures {
            let offset = offset.as_deref().and_then(|text| text.parse::<Offset>().ok());
            // Rows of a job ascend, and with them their offsets.
            let at = offset.and_then(|offset| {
                job.rows.binary_search_by_key(&offset, |row| self.offsets[*row as usize]).ok()
            });
            let Some(at) = at else {
                let why = message.clone().unwrap_or_else(|| {
                    "`batchItemFailures` names no event of the batch: each `itemIdentifier` is an offset"
                        .to_owned()
                });
                return Err(why);
            };
            named.insert(at, message.clone());
        }
        Ok(named.into_iter().collect())
    }

    /// No records were given: of a transform the events are the rows, a step adds nothing.
    fn take_events(&self, job: &Job, rows: &mut RowsBuilder<'_>) -> Result<(), String> {
        let mut event = Vec::new();
        for row in &job.rows {
            if !self.plan.keeps_events {
                rows.push_absent();
                continue;
            }
            event.clear();
            self.rows.write(*row as usize, &mut event);
            rows.push(&event)?;
        }
        Ok(())
    }
}

/// Puts the pieces into the order of the rows.
fn assemble(plan: &FunctionPlan, chunks: Vec<Gathered>, count: usize) -> Result<Answered, RefineError> {
    let (mut pieces, mut absent, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    // Piece 0 of `interleave` is a single null.
    let mut sources = vec![(0, 0); count];
    for chunk in chunks {
        let first = pieces.len() + 1;
        pieces.extend(chunk.pieces);
        chunk.answered.iter().for_each(|(row, piece, at)| sources[*row as usize] = (first + piece, *at));
        absent.extend(chunk.absent);
        failed.extend(chunk.failed);
    }
    absent.sort_unstable();
    failed.sort_unstable();
    let is_whole = sources.iter().enumerate().all(|(row, source)| *source == (1, row));
    let columns = plan.takes.fields.iter().enumerate().map(|(at, field)| {
        if let ([piece], true) = (pieces.as_slice(), is_whole && !sources.is_empty()) {
            return Ok(piece.columns[at].clone());
        }
        let null = new_null_array(field.data_type(), 1);
        let arrays: Vec<&dyn arrow::array::Array> =
            std::iter::once(&*null).chain(pieces.iter().map(|piece| &*piece.columns[at])).collect();
        interleave(&arrays, &sources)
    });
    Ok(Answered { columns: columns.collect::<Result<_, _>>()?, absent, failed })
}
