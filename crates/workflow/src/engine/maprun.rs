//! Map runs: the children of a distributed Map, each an execution of its own.
//!
//! A map run is a task like any other to the machine. Its runner starts children, waits for their ends
//! and puts the result together. What it has done is found again after a crash: a child is stored under
//! its index in the batch that starts it. Items that come from an object are read again.

use super::{Busy, Command, Engine, TaskId, runner::Job};
use crate::api::{ExecutionStatus, MapRunCounts};
use crate::data::Data;
use crate::items::{self, Results};
use crate::machine::{Input, Meta, Outcome, base_context, rfc3339};
use crate::store::{self, get, put};
use crate::{ErrorKind, WorkflowError};
use bourn_asl::{ExecutionType, Kind, MapState, Scope, Seeded, errors};
use bourn_event::{Micros, TaskFailure};
use bourn_state::{Key, State};
use futures::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Children at once, where the Map sets no bound or a higher one.
const CONCURRENCY_MAX: usize = 1_000;

/// A map run's number is its parent's and the try's, so that those of one parent lie together.
const TRY_BITS: u32 = 24;

/// A map run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRunRecord {
    pub arn: String,
    pub execution: u64,
    pub status: ExecutionStatus,
    pub started_at: Micros,
    pub ended_at: Option<Micros>,
    pub max_concurrency: u32,
    pub tolerated_count: u64,
    pub tolerated_percentage: f64,
    pub total: u64,
    pub items: u64,
    pub results_written: u64,
}

/// A child of a map run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ChildRecord {
    Standard(u64),
    /// An Express child that has ended.
    Done(ExecutionStatus, Outcome),
}

fn map_run_number(id: TaskId) -> u64 {
    (id.0 << TRY_BITS) | (u64::from(id.2) & ((1 << TRY_BITS) - 1))
}

/// The map runs of an execution.
pub fn map_runs_of(state: &State, execution: u64) -> Result<Vec<(u64, MapRunRecord)>, WorkflowError> {
    let key = |execution: u64| Key::WorkflowMapRun { map_run: execution << TRY_BITS };
    let mut runs = Vec::new();
    for entry in state.range_raw(&key(execution), &key(execution + 1)) {
        let (key, value) = entry?;
        if let Key::WorkflowMapRun { map_run } = key {
            runs.push((map_run, crate::codec::decode(&value)?));
        }
    }
    Ok(runs)
}

/// The children of a map run, in their order, from `first` on.
pub fn children(
    state: &State,
    map_run: u64,
) -> impl DoubleEndedIterator<Item = Result<(u64, ChildRecord), WorkflowError>> {
    let key = |index| Key::WorkflowMapChild { map_run, index };
    state.range_raw(&key(0), &key(u64::MAX)).map(|entry| {
        let (key, value) = entry?;
        let index = if let Key::WorkflowMapChild { index, .. } = key { index } else { 0 };
        Ok((index, crate::codec::decode(&value)?))
    })
}

/// How many children stand how.
pub fn counts(state: &State, map_run: u64, total: u64) -> Result<MapRunCounts, WorkflowError> {
    let mut counts = MapRunCounts { total, ..MapRunCounts::default() };
    let mut begun = 0;
    for child in children(state, map_run) {
        begun += 1;
        let status = match child?.1 {
            ChildRecord::Done(status, _) => status,
            ChildRecord::Standard(seq) => {
                store::known(state, seq)?.map_or(ExecutionStatus::Succeeded, |known| known.head.status)
            }
        };
        match status {
            ExecutionStatus::Running => counts.running += 1,
            ExecutionStatus::Succeeded => counts.succeeded += 1,
            ExecutionStatus::Failed => counts.failed += 1,
            ExecutionStatus::TimedOut => counts.timed_out += 1,
            ExecutionStatus::Aborted => counts.aborted += 1,
            ExecutionStatus::PendingRedrive => counts.pending_redrive += 1,
        }
    }
    counts.pending = total.saturating_sub(begun);
    Ok(counts)
}

/// Stops the children of a map run that nobody waits for any more.
pub async fn abandon(engine: &Arc<Engine>, id: TaskId) -> Result<(), WorkflowError> {
    let map_run = map_run_number(id);
    let standing: Vec<_> = children(&engine.state, map_run).collect::<Result<_, _>>()?;
    for (_, child) in standing {
        if let ChildRecord::Standard(seq) = child {
            engine.input(seq, Input::Stop { error: None, cause: None }).await?;
        }
    }
    finish(engine, map_run, ExecutionStatus::Aborted, 0)
}

fn finish(
    engine: &Engine,
    map_run: u64,
    status: ExecutionStatus,
    results_written: u64,
) -> Result<(), WorkflowError> {
    let key = Key::WorkflowMapRun { map_run };
    let Some(mut record) = get::<MapRunRecord>(&engine.state, &key)? else { return Ok(()) };
    record.status = status;
    record.ended_at = Some(engine.now().wall);
    record.results_written = results_written;
    let mut writes = Vec::new();
    put(&mut writes, key, &record)?;
    store::commit(&engine.state, writes)
}

/// Does a map run; gives the Map's result.
pub async fn drive(engine: &Arc<Engine>, job: &Job, busy: &mut Option<Busy>) -> Result<Value, TaskFailure> {
    let map_run = map_run_number(job.id);
    let state = job.map_state.as_deref().and_then(|name| job.machine.find_state(name));
    let Some(Kind::Map(map)) = state.map(|state| &state.kind) else {
        return Err(TaskFailure::new(errors::RUNTIME, "The definition has no such Map."));
    };
    let run = Run { engine, job, map, map_run };
    let done = run.all(busy).await;
    let (status, written) = match &done {
        Ok((_, written)) => (ExecutionStatus::Succeeded, *written),
        Err(_) => (ExecutionStatus::Failed, 0),
    };
    finish(engine, map_run, status, written).map_err(stored)?;
    done.map(|(result, _)| result)
}

fn stored(error: WorkflowError) -> TaskFailure {
    TaskFailure::new(errors::RUNTIME, error.to_string())
}

struct Run<'a> {
    engine: &'a Arc<Engine>,
    job: &'a Job,
    map: &'a MapState,
    map_run: u64,
}

struct Child {
    index: u32,
    status: ExecutionStatus,
    outcome: Outcome,
}

impl Run<'_> {
    fn parameter(&self, key: &str) -> &Value {
        self.job.parameters.value().get(key).unwrap_or(&Value::Null)
    }

    fn context(&self) -> Value {
        let mut context = base_context(&self.job.meta, 0);
        let name = self.job.map_state.clone().unwrap_or_default();
        context["State"] =
            json!({"Name": name, "EnteredTime": rfc3339(self.job.entered_at), "RetryCount": 0});
        context
    }

    /// Evaluates something of the Map state.
    fn eval<T>(
        &self,
        context: &Value,
        what: impl FnOnce(&Scope<'_>) -> Result<T, bourn_asl::EvalError>,
    ) -> Result<T, TaskFailure> {
        let outside = Seeded::new(self.map_run, self.engine.now().wall.div_euclid(1_000));
        let scope = Scope::new(self.parameter("input"), context, &self.job.visible, &outside);
        what(&scope).map_err(|error| TaskFailure::new(error.error, error.cause))
    }

    async fn all(&self, busy: &mut Option<Busy>) -> Result<(Value, u64), TaskFailure> {
        self.register(0, 0).map_err(stored)?;
        let items = self.items().await?;
        let inputs = self.inputs(&items)?;
        self.register(inputs.len() as u64, items.len() as u64).map_err(stored)?;
        let children = self.children(&inputs, busy).await?;
        self.result(inputs, children).await
    }

    fn register(&self, total: u64, items: u64) -> Result<(), WorkflowError> {
        let key = Key::WorkflowMapRun { map_run: self.map_run };
        let now = self.engine.now().wall;
        let record = match get::<MapRunRecord>(&self.engine.state, &key)? {
            Some(record) => MapRunRecord { total, items, ..record },
            None => MapRunRecord {
                arn: self.arn().to_owned(),
                execution: self.job.id.0,
                status: ExecutionStatus::Running,
                started_at: now,
                ended_at: None,
                max_concurrency: self.parameter("maxConcurrency").as_u64().unwrap_or(0) as u32,
                tolerated_count: self.parameter("toleratedFailureCount").as_u64().unwrap_or(0),
                tolerated_percentage: self.parameter("toleratedFailurePercentage").as_f64().unwrap_or(0.0),
                total,
                items,
                results_written: 0,
            },
        };
        let mut writes = Vec::new();
        put(&mut writes, key, &record)?;
        store::commit(&self.engine.state, writes)
    }

    fn arn(&self) -> &str {
        self.parameter("mapRunArn").as_str().unwrap_or_default()
    }

    fn record(&self) -> Result<MapRunRecord, TaskFailure> {
        let key = Key::WorkflowMapRun { map_run: self.map_run };
        let record = get(&self.engine.state, &key).map_err(stored)?;
        record.ok_or_else(|| TaskFailure::new(errors::RUNTIME, "The map run is gone."))
    }

    async fn items(&self) -> Result<Vec<Value>, TaskFailure> {
        let Some(reader) = &self.map.reader else {
            return Ok(self.parameter("items").as_array().cloned().unwrap_or_default());
        };
        let context = self.context();
        let parameters = match &reader.parameters {
            Some(template) => self.eval(&context, |scope| template.eval("ItemReader", scope))?,
            None => Value::Null,
        };
        let max = match &reader.config.max_items {
            Some(setting) => self.eval(&context, |scope| setting.value(scope))?,
            None => Value::Null,
        };
        items::read(&*self.engine.options.objects, reader, &parameters, &max).await
    }

    /// The input of every child.
    fn inputs(&self, items: &[Value]) -> Result<Vec<Value>, TaskFailure> {
        let mut context = self.context();
        let mut selected = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let Some(selector) = &self.map.item_selector else {
                selected.push(item.clone());
                continue;
            };
            context["Map"] = json!({"Item": {"Index": index, "Value": item}});
            selected.push(self.eval(&context, |scope| selector.eval("ItemSelector", scope))?);
        }
        let Some(batcher) = &self.map.batcher else { return Ok(selected) };
        let context = self.context();
        let setting = |setting: &Option<bourn_asl::Setting>| match setting {
            Some(setting) => self.eval(&context, |scope| setting.count(scope)),
            None => Ok(0),
        };
        let (items_max, bytes_max) = (setting(&batcher.max_items)?, setting(&batcher.max_bytes)?);
        let common = match &batcher.input {
            Some(template) => Some(self.eval(&context, |scope| template.eval("BatchInput", scope))?),
            None => None,
        };
        Ok(items::batches(selected, items_max, bytes_max, common.as_ref()))
    }

    /// Runs all children, as many at once as may be.
    async fn children(&self, inputs: &[Value], busy: &mut Option<Busy>) -> Result<Vec<Child>, TaskFailure> {
        let mut ended = Vec::with_capacity(inputs.len());
        let mut running = FuturesUnordered::new();
        let (mut next, mut failed) = (0, 0_u64);
        loop {
            let record = self.record()?;
            let bound = match record.max_concurrency as usize {
                0 => CONCURRENCY_MAX,
                bound => bound.min(CONCURRENCY_MAX),
            };
            while running.len() < bound && next < inputs.len() {
                running.push(self.child(next as u32, inputs.get(next).cloned().unwrap_or_default()));
                next += 1;
            }
            // What waits for other executions is not busy: they are.
            drop(busy.take());
            let done = running.next().await;
            *busy = Some(self.engine.busy());
            let Some(child) = done else { break };
            let child = child.map_err(stored)?;
            failed += u64::from(child.status != ExecutionStatus::Succeeded);
            ended.push(child);
            if exceeded(&record, failed, inputs.len() as u64) {
                drop(running);
                abandon(self.engine, self.job.id).await.map_err(stored)?;
                return Err(TaskFailure::new(
                    errors::EXCEED_TOLERATED_FAILURE_THRESHOLD,
                    "The specified tolerated failure threshold was exceeded",
                ));
            }
        }
        ended.sort_unstable_by_key(|child| child.index);
        Ok(ended)
    }

    async fn child(&self, index: u32, input: Value) -> Result<Child, WorkflowError> {
        let engine = self.engine;
        let key = Key::WorkflowMapChild { map_run: self.map_run, index: u64::from(index) };
        let seq = match get::<ChildRecord>(&engine.state, &key)? {
            Some(ChildRecord::Done(status, outcome)) => return Ok(Child { index, status, outcome }),
            Some(ChildRecord::Standard(seq)) => seq,
            None => {
                let meta = self.child_meta(index, input)?;
                if self.map.execution_type == ExecutionType::Express {
                    let end = engine.run_express(meta, self.job.machine.clone()).await;
                    let record = ChildRecord::Done(end.status, end.outcome.clone());
                    let mut writes = Vec::new();
                    put(&mut writes, key, &record)?;
                    store::commit(&engine.state, writes)?;
                    return Ok(Child { index, status: end.status, outcome: end.outcome });
                }
                let (reply, answer) = oneshot::channel();
                let worker = meta.seq as usize % super::WORKERS;
                let machine = self.job.machine.clone();
                engine.send(Command::Start { worker, meta: Box::new(meta), machine, reply })?;
                answer.await.map_err(|_| WorkflowError::closed())??.0
            }
        };
        loop {
            let told = engine.watch(seq);
            let known = store::known(&engine.state, seq)?
                .ok_or_else(|| WorkflowError::new(ErrorKind::ExecutionDoesNotExist, "a child is gone"))?;
            if let Some(outcome) = known.outcome {
                return Ok(Child { index, status: known.head.status, outcome });
            }
            let _ = told.await;
        }
    }

    fn child_meta(&self, index: u32, input: Value) -> Result<Meta, WorkflowError> {
        let parent = &self.job.meta;
        let label = self.arn().rsplit('/').next().and_then(|rest| rest.split(':').next()).unwrap_or_default();
        let name = uuid::Uuid::from_u64_pair(self.map_run, u64::from(index)).to_string();
        let machine_name = format!("{}/{label}", parent.machine_name);
        let base = parent.machine_arn.replacen(":stateMachine:", ":execution:", 1);
        Ok(Meta {
            seq: self.engine.number(index as usize % super::WORKERS)?,
            arn: format!("{base}/{label}:{name}"),
            name,
            machine_arn: format!("{}/{label}", parent.machine_arn),
            machine_name,
            started_at: self.engine.now().wall,
            input: Data::new(input),
            express: self.map.execution_type == ExecutionType::Express,
            map_state: self.job.map_state.clone(),
            map_run: Some((self.map_run, index)),
            ..(**parent).clone()
        })
    }

    async fn result(&self, inputs: Vec<Value>, children: Vec<Child>) -> Result<(Value, u64), TaskFailure> {
        let Some(writer) = self.map.writer.as_ref().filter(|writer| writer.resource.is_some()) else {
            let outputs = children.into_iter().filter_map(|child| child.outcome.output);
            return Ok((Value::Array(outputs.map(Data::into_value).collect()), 0));
        };
        let context = self.context();
        let parameters = match &writer.parameters {
            Some(template) => self.eval(&context, |scope| template.eval("ResultWriter", scope))?,
            None => Value::Null,
        };
        let written = children.len() as u64;
        let results = children.into_iter().map(|child| {
            let input = inputs.get(child.index as usize).cloned().unwrap_or_default();
            items::ItemResult { input, status: child.status, outcome: child.outcome }
        });
        let results = Results { map_run_arn: self.arn(), results: results.collect() };
        let result = items::write(&*self.engine.options.objects, writer, &parameters, results).await?;
        Ok((result, written))
    }
}

/// Have more children failed than may? Either bound that is set counts; without any, one is too many.
fn exceeded(record: &MapRunRecord, failed: u64, total: u64) -> bool {
    let (count, percentage) = (record.tolerated_count, record.tolerated_percentage);
    let by_count = count > 0 && failed > count;
    let by_share = percentage > 0.0 && failed as f64 * 100.0 > total as f64 * percentage;
    match (count > 0, percentage > 0.0) {
        (false, false) => failed > 0,
        _ => by_count || by_share,
    }
}
