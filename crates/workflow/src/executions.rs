//! Executions from outside: begun, found, listed, stopped, driven again.

use crate::api::*;
use crate::arn::{self, Arn};
use crate::codec::decode;
use crate::data::Data;
use crate::engine::{
    Command, Engine, ExpressEnd, NAME_KEPT, fingerprint, forget_map_runs, is_redrivable, parent_of,
};
use crate::machine::{Input, Meta};
use crate::store::{self, Known, MachineRecord, Named, get};
use crate::{ErrorKind, WorkflowError, Workflows};
use bourn_event::Micros;
use bourn_state::Key;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// The pages of the API: what it gives when nothing is asked for, and at most.
const PAGE_DEFAULT: usize = 100;
const PAGE_MAX: usize = 1_000;

/// Executions that one sweep removes in one batch.
const SWEEP_BATCH: usize = 500;

pub(crate) fn page_size(page: &Paging) -> usize {
    if page.max_results == 0 { PAGE_DEFAULT } else { (page.max_results as usize).min(PAGE_MAX) }
}

pub(crate) fn token<T: std::str::FromStr>(page: &Paging) -> Result<Option<T>, WorkflowError> {
    let invalid = || {
        WorkflowError::new(ErrorKind::InvalidToken, "Invalid Token: the page's token is not one of this list")
    };
    page.next_token.as_deref().map(|text| text.parse().map_err(|_| invalid())).transpose()
}

fn no_execution(arn: &str) -> WorkflowError {
    WorkflowError::new(ErrorKind::ExecutionDoesNotExist, format!("Execution Does Not Exist: '{arn}'"))
}

impl Engine {
    /// What is stored of an execution.
    pub fn find(&self, arn: &str) -> Result<Known, WorkflowError> {
        let (machine, name) = match arn::parse(arn) {
            Some(Arn::Execution { machine, name }) => (machine, name),
            Some(Arn::Express) => {
                return Err(WorkflowError::new(
                    ErrorKind::StateMachineTypeNotSupported,
                    "This operation is not supported by this type of state machine",
                ));
            }
            _ => return Err(WorkflowError::new(ErrorKind::InvalidArn, format!("Invalid Arn: '{arn}'"))),
        };
        let key = Key::WorkflowName { machine: machine.to_owned(), name: name.to_owned() };
        let named: Named = get(&self.state, &key)?.ok_or_else(|| no_execution(arn))?;
        let known = store::known(&self.state, named.seq)?.filter(|known| known.meta.arn == arn);
        known.ok_or_else(|| no_execution(arn))
    }

    /// A machine as it is registered.
    pub fn record(&self, arn: &str) -> Result<MachineRecord, WorkflowError> {
        let Some(Arn::Machine { name }) = arn::parse(arn) else {
            return Err(WorkflowError::new(ErrorKind::InvalidArn, format!("Invalid Arn: '{arn}'")));
        };
        let none = || {
            let message = format!("State Machine Does Not Exist: '{arn}'");
            WorkflowError::new(ErrorKind::StateMachineDoesNotExist, message)
        };
        if self.machine_arn(name) != arn {
            return Err(none());
        }
        get(&self.state, &Key::WorkflowMachine { name: name.to_owned() })?.ok_or_else(none)
    }

    pub fn machine_arn(&self, name: &str) -> String {
        format!("arn:aws:states:{}:{}:stateMachine:{name}", self.options.region, self.options.account)
    }

    fn meta(&self, request: StartExecution, record: MachineRecord) -> Result<Meta, WorkflowError> {
        let text = request.input.unwrap_or_else(|| "{}".into());
        if text.len() as u64 > record.payload_bytes_max {
            let message = format!(
                "Invalid Input: it has {} bytes, and {} are allowed",
                text.len(),
                record.payload_bytes_max
            );
            return Err(WorkflowError::new(ErrorKind::InvalidExecutionInput, message));
        }
        let input = Data::parse(&text).map_err(|error| {
            WorkflowError::new(
                ErrorKind::InvalidExecutionInput,
                format!("Invalid State Machine Execution Input: '{error}'"),
            )
        })?;
        let name = match request.name {
            Some(name) if !arn::is_name(&name) => {
                return Err(WorkflowError::new(ErrorKind::InvalidName, format!("Invalid Name: '{name}'")));
            }
            Some(name) => name,
            None => Uuid::new_v4().to_string(),
        };
        let express = record.machine_type == MachineType::Express;
        let prefix = format!("arn:aws:states:{}:{}", self.options.region, self.options.account);
        let arn = if express {
            format!("{prefix}:express:{}:{name}:{}", record.name, Uuid::new_v4())
        } else {
            format!("{prefix}:execution:{}:{name}", record.name)
        };
        // The same name always belongs to the same worker, which sees to it that it is given once.
        let worker = (fingerprint(&name) % crate::engine::WORKERS as u64) as usize;
        Ok(Meta {
            seq: if express { 0 } else { self.number(worker)? },
            arn,
            name,
            machine_arn: request.machine_arn,
            machine_name: record.name,
            role_arn: record.role_arn,
            region: self.options.region.clone(),
            started_at: self.now().wall,
            input,
            express,
            events_max: record.events_max,
            payload_bytes_max: record.payload_bytes_max,
            revision: record.revision,
            map_state: None,
            map_run: None,
            trace: request.trace,
        })
    }

    /// Begins an execution of either type. Boxed, because an execution may begin another.
    pub fn begin(
        self: &Arc<Self>,
        request: StartExecution,
    ) -> BoxFuture<'static, Result<ExecutionStarted, WorkflowError>> {
        let engine = self.clone();
        Box::pin(async move {
            engine.check_open()?;
            let _in_use = engine.revisions.read().await;
            let record = engine.record(&request.machine_arn)?;
            let machine = engine.machine(&record.revision)?;
            let meta = engine.meta(request, record)?;
            let mut started = ExecutionStarted { arn: meta.arn.clone(), started_at: meta.started_at };
            if meta.express {
                engine.run_apart(meta, machine);
                return Ok(started);
            }
            let (reply, answer) = oneshot::channel();
            let worker = meta.seq as usize % crate::engine::WORKERS;
            engine.send(Command::Start { worker, meta: Box::new(meta), machine, reply })?;
            started.started_at = answer.await.map_err(|_| WorkflowError::closed())??.1;
            Ok(started)
        })
    }

    pub async fn begin_sync(
        self: &Arc<Self>,
        request: StartExecution,
    ) -> Result<SyncExecution, WorkflowError> {
        self.check_open()?;
        let in_use = self.revisions.read().await;
        let record = self.record(&request.machine_arn)?;
        if record.machine_type != MachineType::Express {
            return Err(WorkflowError::new(
                ErrorKind::StateMachineTypeNotSupported,
                "This operation is not supported by this type of state machine",
            ));
        }
        let machine = self.machine(&record.revision)?;
        drop(in_use);
        let meta = self.meta(request, record)?;
        let kept = meta.clone();
        let ExpressEnd { status, outcome } = self.run_express(meta, machine).await;
        let took_ms = u64::try_from((outcome.ended_at - kept.started_at) / 1_000).unwrap_or(0);
        Ok(SyncExecution {
            arn: kept.arn,
            machine_arn: kept.machine_arn,
            name: kept.name,
            started_at: kept.started_at,
            ended_at: outcome.ended_at,
            status,
            error: outcome.error,
            cause: outcome.cause,
            input: kept.input.text().to_owned(),
            output: outcome.output.map(|output| output.text().to_owned()),
            trace: kept.trace,
            billed_ms: took_ms.max(1).next_multiple_of(100),
        })
    }
}

pub(crate) fn described(engine: &Engine, known: Known) -> Result<ExecutionDescription, WorkflowError> {
    let Known { meta, head, outcome } = known;
    let outcome = outcome.filter(|_| head.status != ExecutionStatus::Running);
    let (redrive_status, redrive_reason) = redrive_status(&meta, head.status);
    let map_run_arn = match meta.map_run {
        Some((map_run, _)) => {
            let key = Key::WorkflowMapRun { map_run };
            get::<crate::engine::MapRunRecord>(&engine.state, &key)?.map(|record| record.arn)
        }
        None => None,
    };
    let ended = outcome.as_ref();
    Ok(ExecutionDescription {
        ended_at: ended.map(|outcome| outcome.ended_at),
        output: ended.and_then(|o| o.output.as_ref()).map(|output| output.text().to_owned()),
        error: ended.and_then(|o| o.error.clone()),
        cause: ended.and_then(|o| o.cause.clone()),
        input: meta.input.text().to_owned(),
        map_run_arn,
        redrive_status,
        redrive_reason,
        redrive_count: head.redrive_count,
        redriven_at: head.redriven_at,
        status: head.status,
        events: head.next_event - 1,
        arn: meta.arn,
        machine_arn: meta.machine_arn,
        name: meta.name,
        started_at: meta.started_at,
        revision_id: meta.revision,
        trace: meta.trace,
    })
}

fn redrive_status(meta: &Meta, status: ExecutionStatus) -> (&'static str, Option<String>) {
    if meta.map_run.is_some() {
        return ("REDRIVABLE_BY_MAP_RUN", None);
    }
    if is_redrivable(meta, status) {
        return ("REDRIVABLE", None);
    }
    ("NOT_REDRIVABLE", Some(format!("Execution is {} and cannot be redriven", status.as_str())))
}

impl Workflows {
    /// Begins an execution and returns when that is durable (Standard). A named one that runs already
    /// with the same input is answered as if begun now.
    pub async fn start(&self, request: StartExecution) -> Result<ExecutionStarted, WorkflowError> {
        self.engine.begin(request).await
    }

    /// Runs an Express execution to its end, at most five minutes.
    pub async fn start_sync(&self, request: StartExecution) -> Result<SyncExecution, WorkflowError> {
        self.engine.begin_sync(request).await
    }

    pub async fn describe(&self, execution_arn: &str) -> Result<ExecutionDescription, WorkflowError> {
        described(&self.engine, self.engine.find(execution_arn)?)
    }

    /// Waits until it has ended, at most so long, and describes it as it is then.
    pub async fn wait(
        &self,
        execution_arn: &str,
        at_most: Duration,
    ) -> Result<ExecutionDescription, WorkflowError> {
        let seq = self.engine.find(execution_arn)?.meta.seq;
        let told = self.engine.watch(seq);
        let now = self.describe(execution_arn).await?;
        if now.ended_at.is_some() {
            return Ok(now);
        }
        let _ = tokio::time::timeout(at_most, told).await;
        self.describe(execution_arn).await
    }

    pub async fn history(&self, request: GetHistory) -> Result<Page<HistoryEvent>, WorkflowError> {
        let known = self.engine.find(&request.execution_arn)?;
        let (last, size) = (known.head.next_event - 1, page_size(&request.page));
        let first = token::<u64>(&request.page)?.unwrap_or(if request.reverse { last } else { 1 });
        let events = store::events(&self.engine.state, known.meta.seq, first, request.reverse, size)?;
        let next = events.last().and_then(|event| match request.reverse {
            true => (event.id > 1).then(|| event.id - 1),
            false => (event.id < last).then(|| event.id + 1),
        });
        Ok(Page {
            items: events.iter().map(|event| event.to_api(request.include_data)).collect(),
            next_token: next.map(|id| id.to_string()),
        })
    }

    /// Latest first.
    pub async fn list(&self, request: ListExecutions) -> Result<Page<ExecutionItem>, WorkflowError> {
        let (size, before) = (page_size(&request.page), token::<u64>(&request.page)?);
        let numbers = match (&request.machine_arn, &request.map_run_arn) {
            (Some(arn), None) => self.of_machine(arn, request.status)?,
            (None, Some(arn)) => self.of_map_run(arn)?,
            _ => {
                let message = "Must provide a stateMachineArn or a mapRunArn, and not both";
                return Err(WorkflowError::new(ErrorKind::ValidationException, message));
            }
        };
        let mut page = Page::default();
        for seq in numbers {
            let seq = seq?;
            if before.is_some_and(|before| seq >= before) {
                continue;
            }
            let Some(known) = store::known(&self.engine.state, seq)? else { continue };
            let is_status = request.status.is_none_or(|status| known.head.status == status);
            let is_redriven = request.redriven.is_none_or(|wanted| wanted == (known.head.redrive_count > 0));
            if !is_status || !is_redriven {
                continue;
            }
            if page.items.len() == size {
                page.next_token = page.items.last().map(|(seq, _): &(u64, ExecutionItem)| seq.to_string());
                break;
            }
            let shown = described(&self.engine, known)?;
            page.items.push((seq, item(shown)));
        }
        let Page { items, next_token } = page;
        Ok(Page { items: items.into_iter().map(|(_, item)| item).collect(), next_token })
    }

    /// Numbers of a machine's executions, latest first.
    fn of_machine(&self, arn: &str, status: Option<ExecutionStatus>) -> Result<Numbers, WorkflowError> {
        let name = self.engine.record(arn)?.name;
        let statuses: Vec<_> = match status {
            Some(status) => vec![status],
            None => ExecutionStatus::ALL.to_vec(),
        };
        let state = &self.engine.state;
        let mut runs: Vec<std::iter::Peekable<Numbers>> = statuses
            .into_iter()
            .map(|status| {
                let key = |seq| store::index_key(&name, status, seq);
                let numbers = state.range_raw(&key(0), &key(u64::MAX)).rev().map(|entry| match entry?.0 {
                    Key::WorkflowIndex { execution, .. } => Ok(execution),
                    _ => Ok(0),
                });
                (Box::new(numbers) as Numbers).peekable()
            })
            .collect();
        Ok(Box::new(std::iter::from_fn(move || {
            let latest = runs
                .iter_mut()
                .enumerate()
                .filter_map(|(index, run)| {
                    let first = run.peek()?;
                    Some((first.as_ref().copied().unwrap_or(u64::MAX), index))
                })
                .max()?;
            runs.get_mut(latest.1)?.next()
        })))
    }

    fn of_map_run(&self, arn: &str) -> Result<Numbers, WorkflowError> {
        let (map_run, _) = self.find_map_run(arn)?;
        let children = crate::engine::children(&self.engine.state, map_run);
        let mut numbers: Vec<u64> = Vec::new();
        for child in children {
            numbers.extend(child?.1.seq());
        }
        numbers.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Box::new(numbers.into_iter().map(Ok)))
    }

    /// Gives the time of the end.
    pub async fn stop(&self, request: StopExecution) -> Result<Micros, WorkflowError> {
        let known = self.engine.find(&request.execution_arn)?;
        let input = Input::Stop { error: request.error, cause: request.cause };
        self.engine.input(known.meta.seq, input).await?;
        let known = self.engine.find(&request.execution_arn)?;
        Ok(known.outcome.map_or_else(|| self.engine.now().wall, |outcome| outcome.ended_at))
    }

    /// Goes on from the states that failed. Gives the time.
    pub async fn redrive(&self, execution_arn: &str) -> Result<Micros, WorkflowError> {
        let known = self.engine.find(execution_arn)?;
        if !is_redrivable(&known.meta, known.head.status) || known.meta.map_run.is_some() {
            let message = format!("Execution is {} and cannot be redriven", known.head.status.as_str());
            return Err(WorkflowError::new(ErrorKind::ExecutionNotRedrivable, message));
        }
        self.engine.input(known.meta.seq, Input::Redrive).await?;
        let known = self.engine.find(execution_arn)?;
        Ok(known.head.redriven_at.unwrap_or_else(|| self.engine.now().wall))
    }

    /// Removes ended executions that are older than their machine's `history`, names that may be used
    /// again, and definitions that nothing refers to any more. For the scheduler to call now and then.
    pub async fn sweep(&self) -> Result<Swept, WorkflowError> {
        let now = self.engine.now().wall;
        let state = &self.engine.state;
        let mut swept = Swept::default();
        let key = |at| Key::WorkflowEnded { at, execution: 0 };
        let mut writes = Vec::new();
        for entry in state.range_raw(&key(0), &key(store::key_time(now))) {
            let Key::WorkflowEnded { at, execution } = entry?.0 else { continue };
            let Some(known) = store::known(state, execution)? else { continue };
            // A map run that is there looks at how its children ended.
            if let Some((map_run, _)) = known.meta.map_run
                && store::known(state, parent_of(map_run))?.is_some()
            {
                continue;
            }
            let kept = self.kept_for(&known.meta.machine_name)?;
            if now - (at as Micros) < kept {
                continue;
            }
            store::forget(state, &known, &mut writes)?;
            forget_map_runs(state, execution, &mut writes)?;
            store::delete(&mut writes, Key::WorkflowEnded { at, execution });
            swept.executions += 1;
            if swept.executions.is_multiple_of(SWEEP_BATCH as u64) {
                store::commit(state, std::mem::take(&mut writes))?;
            }
        }
        swept.names = self.sweep_names(now, &mut writes)?;
        store::commit(state, writes)?;
        swept.revisions = self.engine.sweep_revisions().await?;
        Ok(swept)
    }

    fn kept_for(&self, machine: &str) -> Result<Micros, WorkflowError> {
        let name = machine.split('/').next().unwrap_or(machine).to_owned();
        let record: Option<MachineRecord> = get(&self.engine.state, &Key::WorkflowMachine { name })?;
        Ok(record.map_or(NAME_KEPT, |record| record.history))
    }

    fn sweep_names(&self, now: Micros, writes: &mut store::Writes) -> Result<u64, WorkflowError> {
        let (from, to) = (
            Key::WorkflowName { machine: String::new(), name: String::new() },
            Key::WorkflowHead { execution: 0 },
        );
        let mut names = 0;
        for entry in self.engine.state.range_raw(&from, &to) {
            let (key, value) = entry?;
            let named: Named = decode(&value)?;
            let is_over = named.ended_at.is_some_and(|at| now - at >= NAME_KEPT);
            if is_over && store::known(&self.engine.state, named.seq)?.is_none() {
                store::delete(writes, key);
                names += 1;
            }
        }
        Ok(names)
    }
}

type Numbers = Box<dyn Iterator<Item = Result<u64, WorkflowError>> + Send>;

fn item(shown: ExecutionDescription) -> ExecutionItem {
    ExecutionItem {
        item_count: shown.map_run_arn.as_ref().map(|_| 1),
        arn: shown.arn,
        machine_arn: shown.machine_arn,
        name: shown.name,
        status: shown.status,
        started_at: shown.started_at,
        ended_at: shown.ended_at,
        map_run_arn: shown.map_run_arn,
        redrive_count: shown.redrive_count,
        redriven_at: shown.redriven_at,
    }
}
