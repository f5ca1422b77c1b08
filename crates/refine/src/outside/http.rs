//! An outside API as a step: each key of a batch is asked for once, and not at all while its answer
//! is kept.
//!
//! ```text
//!  answered (2xx) · not known (404, 410, null) ─► columns, kept
//!  refused (another status, unusable) ─► a batch is split; a key alone has failed
//!  down (no answer, 408, 425, 429, 5xx) ─► `on_failure`; under `wait` again and again
//! ```
//!
//! While a stream waits for one key, what was answered last is asked again now and then: if the API
//! answers that and goes on failing for the key, it is the key's fault, and only its events fail (G6).

use super::answer::Takes;
use super::encode::{Values, write_text};
use super::{Answered, Cached, CallError, Fetched, Outside, Request, WAIT_MAX, WAIT_MIN};
use crate::column::Path;
use crate::refiner::RefineError;
use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::FieldRef;
use bourn_config::{HttpFailure, HttpStep, MissingKey};
use bourn_event::percent_encode;
use bytes::Bytes;
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashMap;

/// So often must a key fail while the API answers others before it is given up.
const STRIKES_MAX: u32 = 3;

/// An `http` step, resolved.
#[derive(Clone, Debug)]
pub struct HttpPlan {
    /// `<stream>/enrich[<index>]`
    pub step: String,
    settings: HttpStep,
    names: Vec<String>,
    paths: Vec<Path>,
    takes: Takes,
}

/// The step at work.
pub struct HttpCall {
    pub plan: HttpPlan,
    /// What was answered last.
    canary: Mutex<Option<Request>>,
}

/// Keys that are asked for in one request.
struct Job {
    /// Indexes of the batch's keys.
    keys: Vec<usize>,
    strikes: u32,
}

enum Outcome {
    /// For each of the job's keys.
    Answered(Vec<Option<Bytes>>),
    Refused(String),
    Down(String),
}

/// What is known of a key.
#[derive(Clone, Debug)]
enum Known {
    Answer(Bytes),
    Missing,
    /// The columns are null by policy.
    Without,
    Failed(String),
}

impl HttpPlan {
    pub fn new(step: String, settings: &HttpStep, paths: Vec<Path>) -> Self {
        let names = settings.key_fields();
        Self { step, settings: settings.clone(), names, paths, takes: Takes::new(&settings.take) }
    }

    pub fn fields(&self) -> &[FieldRef] {
        &self.takes.fields
    }

    /// One key's request, or that of several.
    fn request(&self, keys: &[&str]) -> Result<Request, String> {
        let method = self.settings.method().name();
        if self.settings.batch.is_some() {
            let mut body = b"{\"records\":[".to_vec();
            for (at, key) in keys.iter().enumerate() {
                body.extend_from_slice(if at == 0 { b"{" } else { b",{" });
                for (index, (name, value)) in self.names.iter().zip(values_of(key)?).enumerate() {
                    if index > 0 {
                        body.push(b',');
                    }
                    write_text(name, &mut body);
                    body.push(b':');
                    body.extend_from_slice(value.to_string().as_bytes());
                }
                body.push(b'}');
            }
            body.extend_from_slice(b"]}");
            return Ok(Request { method, url: self.settings.url.clone(), body: Some(body.into()) });
        }
        let Some(key) = keys.first() else { return Err("a request for no key".to_owned()) };
        let fields: HashMap<&str, Value> =
            self.names.iter().map(String::as_str).zip(values_of(key)?).collect();
        let url =
            fill(&self.settings.url, &fields, |value, out| percent_encode(plain(value).as_bytes(), "", out));
        let body = self.settings.body.as_ref().map(|body| fill_body(body, &fields).to_string().into());
        Ok(Request { method, url, body })
    }

    fn judge(&self, fetched: Result<Fetched, CallError>, count: usize) -> Result<Outcome, RefineError> {
        let answer = match fetched {
            Ok(answer) => answer,
            Err(CallError::Failed(why)) => return Ok(Outcome::Refused(why)),
            Err(CallError::Unavailable { why, .. }) => return Ok(Outcome::Down(why)),
            Err(other) => return Err(other.into()),
        };
        Ok(match answer.status {
            204 | 404 | 410 => Outcome::Answered(vec![None; count]),
            200..=299 if self.settings.batch.is_some() => match records_of(&answer.body, count) {
                Ok(records) => Outcome::Answered(records),
                Err(why) => Outcome::Refused(why),
            },
            200..=299 if answer.body.is_empty() => Outcome::Answered(vec![None; count]),
            200..=299 => match serde_json::from_slice::<&RawValue>(&answer.body) {
                Ok(value) if value.get() == "null" => Outcome::Answered(vec![None; count]),
                Ok(_) => Outcome::Answered(vec![Some(answer.body); count]),
                Err(error) => Outcome::Refused(format!("the API's answer is not JSON: {error}")),
            },
            408 | 425 | 429 | 500..=599 => {
                Outcome::Down(format!("the API answered with status {}", answer.status))
            }
            status => Outcome::Refused(format!("the API answered with status {status}")),
        })
    }
}

/// The records of an answer for several keys.
fn records_of(body: &Bytes, count: usize) -> Result<Vec<Option<Bytes>>, String> {
    #[derive(serde::Deserialize)]
    struct Many {
        records: Vec<Option<Box<RawValue>>>,
    }
    let many: Many =
        serde_json::from_slice(body).map_err(|error| format!("the API's answer cannot be used: {error}"))?;
    if many.records.len() != count {
        return Err(format!("the API answered {} records for {count} keys", many.records.len()));
    }
    let own =
        |record: Option<Box<RawValue>>| record.map(|record| Bytes::copy_from_slice(record.get().as_bytes()));
    Ok(many.records.into_iter().map(own).collect())
}

/// A key is a JSON array of its fields' values.
fn values_of(key: &str) -> Result<Vec<Value>, String> {
    serde_json::from_str(key).map_err(|error| format!("the key {key} cannot be sent: {error}"))
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Replaces `{field}`; what is no field stays.
fn fill(text: &str, fields: &HashMap<&str, Value>, write: impl Fn(&Value, &mut String)) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len() + 16), text);
    while let Some((before, behind)) = rest.split_once('{') {
        out.push_str(before);
        match behind.split_once('}').and_then(|(name, after)| Some((fields.get(name)?, after))) {
            Some((value, after)) => {
                write(value, &mut out);
                rest = after;
            }
            None => {
                out.push('{');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// The body; a text that is one field and nothing else becomes the value itself.
fn fill_body(body: &Value, fields: &HashMap<&str, Value>) -> Value {
    match body {
        Value::String(text) => {
            let whole = text.strip_prefix('{').and_then(|rest| fields.get(rest.strip_suffix('}')?));
            whole.cloned().unwrap_or_else(|| {
                Value::String(fill(text, fields, |value, out| out.push_str(&plain(value))))
            })
        }
        Value::Array(items) => items.iter().map(|item| fill_body(item, fields)).collect(),
        Value::Object(map) => {
            Value::Object(map.iter().map(|(key, value)| (key.clone(), fill_body(value, fields))).collect())
        }
        other => other.clone(),
    }
}

impl HttpCall {
    pub fn new(plan: HttpPlan) -> Self {
        Self { plan, canary: Mutex::new(None) }
    }

    /// Asks for the keys of the batch's rows.
    pub async fn call(&self, outside: &dyn Outside, batch: &RecordBatch) -> Result<Answered, RefineError> {
        let (keys, key_of) = self.keys(batch)?;
        let mut known: Vec<Option<Known>> = keys.iter().map(|key| self.look(outside, key)).collect();
        let unknown: Vec<usize> = (0..keys.len()).filter(|at| known[*at].is_none()).collect();
        let size = self.plan.settings.batch.unwrap_or(1).max(1) as usize;
        let jobs = unknown.chunks(size).map(|keys| Job { keys: keys.to_vec(), strikes: 0 }).collect();
        self.ask(outside, &keys, jobs, &mut known).await?;
        let known = known.into_iter().map(|known| known.unwrap_or(Known::Missing)).collect();
        self.columns(known, &key_of)
    }

    /// The distinct keys, and the key of each row; none if one of its fields is null.
    fn keys(&self, batch: &RecordBatch) -> Result<(Vec<String>, Vec<Option<u32>>), RefineError> {
        let columns = self.plan.paths.iter().map(|path| Values::new(&path.values(batch)));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let (mut keys, mut places) = (Vec::new(), HashMap::new());
        let mut text = Vec::new();
        let key_of = (0..batch.num_rows()).map(|row| {
            if columns.iter().any(|values| values.is_null(row)) {
                return None;
            }
            text.clear();
            text.push(b'[');
            for (at, values) in columns.iter().enumerate() {
                if at > 0 {
                    text.push(b',');
                }
                values.write(row, &mut text);
            }
            text.push(b']');
            let key = String::from_utf8_lossy(&text);
            Some(places.get(&*key).copied().unwrap_or_else(|| {
                let place = keys.len() as u32;
                keys.push(key.to_string());
                places.insert(key.into_owned(), place);
                place
            }))
        });
        let key_of = key_of.collect();
        Ok((keys, key_of))
    }

    fn look(&self, outside: &dyn Outside, key: &str) -> Option<Known> {
        self.plan.settings.cache.as_ref()?;
        let (known, word) = match outside.look(&self.plan.step, key) {
            Cached::Found(answer) => (Some(Known::Answer(answer)), "hit"),
            Cached::Absent => (Some(Known::Missing), "negative"),
            Cached::Unknown => (None, "miss"),
        };
        let labels = [("step", self.plan.step.clone()), ("result", word.to_owned())];
        metrics::counter!("bourn_stage_cache_total", &labels).increment(1);
        known
    }

    async fn ask(
        &self,
        outside: &dyn Outside,
        keys: &[String],
        mut jobs: Vec<Job>,
        known: &mut [Option<Known>],
    ) -> Result<(), RefineError> {
        let mut wait = WAIT_MIN;
        let waiting = metrics::gauge!("bourn_stage_waiting", "step" => self.plan.step.clone());
        while !jobs.is_empty() {
            let mut down = Vec::new();
            let mut outcomes = stream::iter(std::mem::take(&mut jobs))
                .map(|job| self.fetch(outside, keys, job))
                .buffer_unordered(self.plan.settings.concurrency.max(1) as usize);
            while let Some(outcome) = outcomes.next().await {
                let (job, outcome) = outcome?;
                match outcome {
                    Outcome::Answered(answers) => self.learn(outside, keys, &job, answers, known),
                    Outcome::Refused(why) => self.refuse(job, why, &mut jobs, known),
                    Outcome::Down(why) => match self.plan.settings.on_failure {
                        HttpFailure::Wait => down.push((job, why)),
                        HttpFailure::Reject => self.set(&job, Known::Failed(why), known),
                        HttpFailure::Null => self.set(&job, Known::Without, known),
                    },
                }
            }
            drop(outcomes);
            let Some((_, why)) = down.first() else { continue };
            tracing::warn!(step = self.plan.step, keys = down.len(), "waiting: {why}");
            waiting.set(1.0);
            outside.pause(wait).await?;
            wait = (wait * 2).min(WAIT_MAX);
            let answers_others = self.answers_others(outside).await?;
            for (mut job, why) in down {
                job.strikes += u32::from(answers_others);
                match job.strikes < STRIKES_MAX {
                    true => jobs.push(job),
                    false => self.refuse(job, format!("{why}, while it answers others"), &mut jobs, known),
                }
            }
        }
        waiting.set(0.0);
        Ok(())
    }

    async fn fetch(
        &self,
        outside: &dyn Outside,
        keys: &[String],
        job: Job,
    ) -> Result<(Job, Outcome), RefineError> {
        let texts: Vec<&str> = job.keys.iter().map(|key| keys[*key].as_str()).collect();
        let request = match self.plan.request(&texts) {
            Ok(request) => request,
            Err(why) => return Ok((job, Outcome::Refused(why))),
        };
        let fetched = outside.fetch(&self.plan.step, &request).await;
        let outcome = self.plan.judge(fetched, job.keys.len())?;
        if matches!(outcome, Outcome::Answered(_)) {
            *self.canary.lock() = Some(request);
        }
        Ok((job, outcome))
    }

    /// Does the API answer what it answered before?
    async fn answers_others(&self, outside: &dyn Outside) -> Result<bool, RefineError> {
        let Some(request) = self.canary.lock().clone() else { return Ok(false) };
        let count = 1;
        let outcome = self.plan.judge(outside.fetch(&self.plan.step, &request).await, count)?;
        Ok(!matches!(outcome, Outcome::Down(_)))
    }

    fn learn(
        &self,
        outside: &dyn Outside,
        keys: &[String],
        job: &Job,
        answers: Vec<Option<Bytes>>,
        known: &mut [Option<Known>],
    ) {
        for (key, answer) in job.keys.iter().zip(answers) {
            if self.plan.settings.cache.is_some() {
                outside.keep(&self.plan.step, &keys[*key], answer.clone());
            }
            known[*key] = Some(answer.map_or(Known::Missing, Known::Answer));
        }
    }

    /// Several keys are asked for in halves, one has failed.
    fn refuse(&self, mut job: Job, why: String, jobs: &mut Vec<Job>, known: &mut [Option<Known>]) {
        if job.keys.len() > 1 {
            let rest = job.keys.split_off(job.keys.len() / 2);
            jobs.extend([job.keys, rest].map(|keys| Job { keys, strikes: 0 }));
            return;
        }
        let failed = match self.plan.settings.on_failure {
            HttpFailure::Null => Known::Without,
            HttpFailure::Wait | HttpFailure::Reject => Known::Failed(why),
        };
        self.set(&job, failed, known);
    }

    fn set(&self, job: &Job, to: Known, known: &mut [Option<Known>]) {
        job.keys.iter().for_each(|key| known[*key] = Some(to.clone()));
    }

    /// The columns of the rows, out of what is known of their keys.
    fn columns(&self, known: Vec<Known>, key_of: &[Option<u32>]) -> Result<Answered, RefineError> {
        let nulls = self.plan.settings.on_failure == HttpFailure::Null;
        let rejects_missing = self.plan.settings.missing == MissingKey::Reject;
        let mut rows = self.plan.takes.rows(known.len() + 1);
        for known in &known {
            match known {
                Known::Answer(answer) => {
                    if let Err(why) = rows.push(answer) {
                        rows.push_failed(why);
                    }
                }
                Known::Missing if rejects_missing => {
                    rows.push_failed("the API does not know its key".to_owned())
                }
                Known::Missing | Known::Without => rows.push_absent(),
                Known::Failed(why) => rows.push_failed(why.clone()),
            }
        }
        // Behind the keys' rows: that of events without a key.
        match rejects_missing {
            true => rows.push_failed("a field of its key is null".to_owned()),
            false => rows.push_absent(),
        }
        let (columns, faults, _) = rows.finish();
        let faults: HashMap<u32, String> = faults.into_iter().collect();
        let without_key = known.len() as u32;
        let places: UInt32Array = key_of.iter().map(|key| Some(key.unwrap_or(without_key))).collect();
        let columns = columns.iter().map(|column| take(column, &places, None)).collect::<Result<_, _>>()?;
        // Under `null`, an answer of the wrong type costs its values, as any failure does.
        let is_missing =
            |place: u32| known.get(place as usize).is_none_or(|known| matches!(known, Known::Missing));
        let failed = places.values().iter().enumerate().filter_map(|(row, place)| {
            let why = faults.get(place).filter(|_| !nulls || is_missing(*place))?;
            Some((row as u32, why.clone()))
        });
        Ok(Answered { columns, absent: Vec::new(), failed: failed.collect() })
    }
}
