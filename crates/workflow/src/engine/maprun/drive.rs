//! The runner of a map run: starts children, waits for their ends, and puts the result together.

use super::*;
use crate::ErrorKind;
use crate::engine::{Busy, Command, WORKERS};
use crate::items::{self, Results};
use crate::machine::{Meta, base_context, rfc3339};
use bourn_asl::{ExecutionType, Kind, MapState, Scope, Seeded, errors};
use bourn_event::TaskFailure;
use futures::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use tokio::sync::oneshot;

/// Children at once, where the Map sets no bound or a higher one.
const CONCURRENCY_MAX: usize = 1_000;

/// Does a map run; gives the Map's result.
pub async fn drive(engine: &Arc<Engine>, job: &Job, busy: &mut Option<Busy>) -> Result<Value, TaskFailure> {
    let map_run = number_of_job(job);
    let state = job.map_state.as_deref().and_then(|name| job.machine.find_state(name));
    let Some(Kind::Map(map)) = state.map(|state| &state.kind) else {
        return Err(TaskFailure::new(errors::RUNTIME, "The definition has no such Map."));
    };
    abandoned(engine, map_run).await;
    let run = Run { engine, job, map, map_run };
    let done = run.all(busy).await;
    let (status, written) = match &done {
        Ok((_, written)) => (ExecutionStatus::Succeeded, *written),
        Err(_) => (ExecutionStatus::Failed, 0),
    };
    // While the engine closes, nothing is over: the next process goes on.
    engine.check_open().and_then(|()| finish(engine, map_run, status, written)).map_err(stored)?;
    done.map(|(result, _)| result)
}

/// Waits until the children of an earlier try are stopped.
async fn abandoned(engine: &Engine, map_run: u64) {
    loop {
        let told = engine.abandoned.notified();
        tokio::pin!(told);
        told.as_mut().enable();
        if !engine.abandoning.lock().contains(&map_run) {
            return;
        }
        told.await;
    }
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
        let record = self.register().map_err(stored)?;
        let state = &self.engine.state;
        let inputs = if record.has_inputs {
            stored_inputs(state, self.map_run).map_err(stored)?
        } else {
            let items = self.items().await?;
            let inputs = self.inputs(&items)?;
            store_inputs(state, self.map_run, &inputs).map_err(stored)?;
            let (total, items) = (inputs.len() as u64, items.len() as u64);
            let record = MapRunRecord { total, items, has_inputs: true, ..self.record()? };
            self.save(&record).map_err(stored)?;
            inputs
        };
        let children = self.children(&inputs, busy).await?;
        self.result(inputs, children).await
    }

    /// Writes down that it has begun, or that it goes on in another redrive.
    fn register(&self) -> Result<MapRunRecord, WorkflowError> {
        let now = self.engine.now().wall;
        let redrive_count = self.redrive();
        let before: Option<MapRunRecord> =
            get(&self.engine.state, &Key::WorkflowMapRun { map_run: self.map_run })?;
        let record = match before {
            Some(record) => {
                let is_new = record.redrive_count < redrive_count;
                let redriven_at = if is_new { Some(now) } else { record.redriven_at };
                let status = ExecutionStatus::Running;
                MapRunRecord { status, ended_at: None, redrive_count, redriven_at, ..record }
            }
            None => MapRunRecord {
                arn: self.arn().to_owned(),
                execution: self.job.id.0,
                status: ExecutionStatus::Running,
                started_at: now,
                ended_at: None,
                max_concurrency: self.parameter("maxConcurrency").as_u64().unwrap_or(0) as u32,
                tolerated_count: self.parameter("toleratedFailureCount").as_u64().unwrap_or(0),
                tolerated_percentage: self.parameter("toleratedFailurePercentage").as_f64().unwrap_or(0.0),
                total: 0,
                items: 0,
                results_written: 0,
                has_inputs: false,
                redrive_count,
                redriven_at: (redrive_count > 0).then_some(now),
            },
        };
        self.save(&record)?;
        Ok(record)
    }

    fn save(&self, record: &MapRunRecord) -> Result<(), WorkflowError> {
        let mut writes = Vec::new();
        put(&mut writes, Key::WorkflowMapRun { map_run: self.map_run }, record)?;
        store::commit(&self.engine.state, writes)
    }

    fn redrive(&self) -> u32 {
        self.parameter("redriveCount").as_u64().unwrap_or(0) as u32
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
        if exceeded(&self.record()?, self.failed_before().map_err(stored)?, inputs.len() as u64) {
            return self.too_many_failed().await;
        }
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
                return self.too_many_failed().await;
            }
        }
        ended.sort_unstable_by_key(|child| child.index);
        Ok(ended)
    }

    /// Children that had failed in this redrive before the last process ended.
    fn failed_before(&self) -> Result<u64, WorkflowError> {
        use ExecutionStatus::{Running, Succeeded};
        let mut failed = 0;
        for child in children(&self.engine.state, self.map_run) {
            let child = child?.1;
            let has_failed = !matches!(child.status(&self.engine.state)?, Running | Succeeded);
            failed += u64::from(has_failed && !self.is_due(&child)?);
        }
        Ok(failed)
    }

    async fn too_many_failed<T>(&self) -> Result<T, TaskFailure> {
        abandon(self.engine, self.map_run).await.map_err(stored)?;
        let cause = "The specified tolerated failure threshold was exceeded";
        Err(TaskFailure::new(errors::EXCEED_TOLERATED_FAILURE_THRESHOLD, cause))
    }

    async fn child(&self, index: u32, input: Value) -> Result<Child, WorkflowError> {
        let engine = self.engine;
        let key = Key::WorkflowMapChild { map_run: self.map_run, index: u64::from(index) };
        let child = get::<ChildRecord>(&engine.state, &key)?;
        let is_due = match &child {
            Some(child) => self.is_due(child)?,
            None => true,
        };
        let seq = match child {
            Some(ChildRecord::Done(status, outcome) | ChildRecord::DoneAgain(status, outcome, _))
                if !is_due =>
            {
                return Ok(Child { index, status, outcome });
            }
            Some(ChildRecord::Standard(seq) | ChildRecord::Redriven(seq, _)) => {
                if is_due {
                    engine.input(seq, Input::Redrive).await?;
                }
                seq
            }
            _ if self.map.execution_type == ExecutionType::Express => {
                return self.express_child(index, input).await;
            }
            _ => {
                let meta = self.child_meta(index, input)?;
                let (reply, answer) = oneshot::channel();
                let worker = meta.seq as usize % WORKERS;
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

    /// Is a child to be driven again: did it not succeed, and is it not this redrive's already?
    fn is_due(&self, child: &ChildRecord) -> Result<bool, WorkflowError> {
        use ExecutionStatus::{Running, Succeeded};
        let status = child.status(&self.engine.state)?;
        Ok(!matches!(status, Running | Succeeded) && child.redrive() < self.redrive())
    }

    async fn express_child(&self, index: u32, input: Value) -> Result<Child, WorkflowError> {
        let meta = self.child_meta(index, input)?;
        let end = self.engine.run_express(meta, self.job.machine.clone()).await;
        let (status, outcome) = (end.status, end.outcome);
        let record = match self.redrive() {
            0 => ChildRecord::Done(status, outcome.clone()),
            redrive => ChildRecord::DoneAgain(status, outcome.clone(), redrive),
        };
        let mut writes = Vec::new();
        let key = Key::WorkflowMapChild { map_run: self.map_run, index: u64::from(index) };
        put(&mut writes, key, &record)?;
        store::commit(&self.engine.state, writes)?;
        Ok(Child { index, status, outcome })
    }

    fn child_meta(&self, index: u32, input: Value) -> Result<Meta, WorkflowError> {
        let parent = &self.job.meta;
        let label = self.arn().rsplit('/').next().and_then(|rest| rest.split(':').next()).unwrap_or_default();
        let name = uuid::Uuid::from_u64_pair(self.map_run, u64::from(index)).to_string();
        let machine_name = format!("{}/{label}", parent.machine_name);
        let base = parent.machine_arn.replacen(":stateMachine:", ":execution:", 1);
        Ok(Meta {
            seq: self.engine.number(index as usize % WORKERS)?,
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
