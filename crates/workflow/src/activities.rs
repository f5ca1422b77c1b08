//! What others answer: task tokens, activities and their workers; and map runs seen from outside.

use crate::api::*;
use crate::arn;
use crate::codec::decode;
use crate::data::Data;
use crate::engine::{self, Command, MapRunRecord};
use crate::executions::{page_size, token};
use crate::machine::Input;
use crate::store::{self, ActivityRecord, get, put};
use crate::token::Token;
use crate::{ErrorKind, WorkflowError, Workflows};
use bourn_state::Key;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// How often offers are looked for beside being told of them.
const LOOK: Duration = Duration::from_secs(1);

fn activity_key(name: &str) -> Key {
    Key::WorkflowActivity { name: name.to_owned() }
}

impl Workflows {
    /// `output` is a JSON text.
    pub async fn send_task_success(&self, token: &str, output: &str) -> Result<(), WorkflowError> {
        let output = Data::parse(output).map_err(|error| {
            WorkflowError::new(ErrorKind::InvalidOutput, format!("Invalid Output: '{error}'"))
        })?;
        let Token { frame, attempt, .. } = read_token(token)?;
        self.answer(token, Input::Succeeded { frame, attempt, output }).await
    }

    pub async fn send_task_failure(
        &self,
        token: &str,
        error: Option<String>,
        cause: Option<String>,
    ) -> Result<(), WorkflowError> {
        let Token { frame, attempt, .. } = read_token(token)?;
        self.answer(token, Input::Failed { frame, attempt, error, cause }).await
    }

    pub async fn send_task_heartbeat(&self, token: &str) -> Result<(), WorkflowError> {
        let Token { frame, attempt, .. } = read_token(token)?;
        self.answer(token, Input::Heartbeat { frame, attempt }).await
    }

    async fn answer(&self, token: &str, input: Input) -> Result<(), WorkflowError> {
        let Token { seq, secret, .. } = read_token(token)?;
        let (reply, answer) = oneshot::channel();
        self.engine.send(Command::Input { seq, input, expect: Some(secret), reply: Some(reply) })?;
        if answer.await.map_err(|_| WorkflowError::closed())?? {
            return Ok(());
        }
        if store::known(&self.engine.state, seq)?.is_some() {
            let message = "Task Timed Out: 'Provided task does not exist anymore'";
            return Err(WorkflowError::new(ErrorKind::TaskTimedOut, message));
        }
        Err(WorkflowError::new(ErrorKind::TaskDoesNotExist, "Task does not exist"))
    }

    /// The same again is the same activity.
    pub async fn create_activity(&self, name: &str, tags: Tags) -> Result<Activity, WorkflowError> {
        if !arn::is_name(name) {
            return Err(WorkflowError::new(ErrorKind::InvalidName, format!("Invalid Name: '{name}'")));
        }
        let arn = self.activity_arn(name);
        if let Some(record) = get::<ActivityRecord>(&self.engine.state, &activity_key(name))? {
            return Ok(Activity { arn, name: record.name, created_at: record.created_at });
        }
        let record = ActivityRecord { name: name.to_owned(), created_at: self.engine.now().wall };
        let mut writes = Vec::new();
        put(&mut writes, activity_key(name), &record)?;
        store::commit(&self.engine.state, writes)?;
        self.engine.activities.lock().insert(name.to_owned());
        if !tags.is_empty() {
            self.tag(&arn, tags).await?;
        }
        Ok(Activity { arn, name: record.name, created_at: record.created_at })
    }

    fn activity_arn(&self, name: &str) -> String {
        let options = &self.engine.options;
        format!("arn:aws:states:{}:{}:activity:{name}", options.region, options.account)
    }

    fn activity_name(&self, arn: &str) -> Result<String, WorkflowError> {
        match arn::parse(arn) {
            Some(arn::Arn::Activity { name }) => Ok(name.to_owned()),
            _ => Err(WorkflowError::new(ErrorKind::InvalidArn, format!("Invalid Arn: '{arn}'"))),
        }
    }

    pub async fn describe_activity(&self, arn: &str) -> Result<Activity, WorkflowError> {
        let name = self.activity_name(arn)?;
        let record: Option<ActivityRecord> = get(&self.engine.state, &activity_key(&name))?;
        let record = record.ok_or_else(|| {
            let message = format!("Activity Does Not Exist: '{arn}'");
            WorkflowError::new(ErrorKind::ActivityDoesNotExist, message)
        })?;
        Ok(Activity { arn: arn.to_owned(), name, created_at: record.created_at })
    }

    /// In the order of names.
    pub async fn list_activities(&self, page: Paging) -> Result<Page<Activity>, WorkflowError> {
        let (size, after) = (page_size(&page), token::<String>(&page)?.unwrap_or_default());
        let end = Key::WorkflowOffer { activity: String::new(), execution: 0, frame: 0 };
        let mut found = Page::default();
        for entry in self.engine.state.range_raw(&activity_key(&after), &end) {
            let record: ActivityRecord = decode(&entry?.1)?;
            if record.name == after {
                continue;
            }
            if found.items.len() == size {
                found.next_token = found.items.last().map(|last: &Activity| last.name.clone());
                break;
            }
            let arn = self.activity_arn(&record.name);
            found.items.push(Activity { arn, name: record.name, created_at: record.created_at });
        }
        Ok(found)
    }

    pub async fn delete_activity(&self, arn: &str) -> Result<(), WorkflowError> {
        let name = self.activity_name(arn)?;
        let mut writes = Vec::new();
        store::delete(&mut writes, activity_key(&name));
        store::delete(&mut writes, Key::WorkflowTags { arn: arn.to_owned() });
        store::commit(&self.engine.state, writes)?;
        self.engine.activities.lock().remove(&name);
        Ok(())
    }

    /// Waits for a task, at most `wait` (the API: 60 s); `None` if there was none.
    pub async fn get_activity_task(
        &self,
        arn: &str,
        worker: Option<String>,
        wait: Duration,
    ) -> Result<Option<ActivityTask>, WorkflowError> {
        let name = self.describe_activity(arn).await?.name;
        let until = Instant::now() + wait;
        loop {
            let offered = self.engine.offered.notified();
            if let Some(task) = self.take_offer(&name, &worker).await? {
                return Ok(Some(task));
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            let _ = tokio::time::timeout(LOOK.min(until - now), offered).await;
        }
    }

    async fn take_offer(
        &self,
        activity: &str,
        worker: &Option<String>,
    ) -> Result<Option<ActivityTask>, WorkflowError> {
        let engine = &self.engine;
        let key = |execution, frame| Key::WorkflowOffer { activity: activity.to_owned(), execution, frame };
        for entry in engine.state.range_raw(&key(0, 0), &key(u64::MAX, u64::MAX)) {
            let Key::WorkflowOffer { execution, frame, .. } = entry?.0 else { continue };
            let Some(ex) = engine.load(execution)? else { continue };
            let id = frame as u32;
            let task = ex.frames.get(&id).and_then(|frame| frame.task());
            let Some(task) = task.filter(|task| !task.taken) else { continue };
            let input = Input::Taken { frame: id, attempt: task.attempt, worker: worker.clone() };
            let (parameters, token) = (task.parameters.clone(), ex.token_of(id));
            // Of several workers that see it, one gets it.
            if engine.input(execution, input).await?
                && let Some(token) = token
            {
                let mut writes = Vec::new();
                store::delete(&mut writes, key(execution, frame));
                store::commit(&engine.state, writes)?;
                return Ok(Some(ActivityTask { token, input: parameters.text().to_owned() }));
            }
        }
        Ok(None)
    }

    pub(crate) fn find_map_run(&self, arn: &str) -> Result<(u64, MapRunRecord), WorkflowError> {
        let none =
            || WorkflowError::new(ErrorKind::ResourceNotFound, format!("Map Run does not exist: '{arn}'"));
        if arn::parse(arn) != Some(arn::Arn::MapRun) {
            return Err(WorkflowError::new(ErrorKind::InvalidArn, format!("Invalid Arn: '{arn}'")));
        }
        let (from, to) = (Key::WorkflowMapRun { map_run: 0 }, Key::WorkflowMapRun { map_run: u64::MAX });
        for entry in self.engine.state.range_raw(&from, &to) {
            let (key, value) = entry?;
            let record: MapRunRecord = decode(&value)?;
            if let Key::WorkflowMapRun { map_run } = key
                && record.arn == arn
            {
                return Ok((map_run, record));
            }
        }
        Err(none())
    }

    /// ARNs, start and end are in the descriptions.
    pub async fn list_map_runs(
        &self,
        execution_arn: &str,
        page: Paging,
    ) -> Result<Page<MapRunDescription>, WorkflowError> {
        let seq = self.engine.find(execution_arn)?.meta.seq;
        let (size, skip) = (page_size(&page), token::<usize>(&page)?.unwrap_or(0));
        let runs = engine::map_runs_of(&self.engine.state, seq)?;
        let more = runs.len() > skip + size;
        let shown = runs.into_iter().skip(skip).take(size);
        let items = shown.map(|(run, record)| self.map_run(run, record)).collect::<Result<_, _>>()?;
        Ok(Page { items, next_token: more.then(|| (skip + size).to_string()) })
    }

    pub async fn describe_map_run(&self, arn: &str) -> Result<MapRunDescription, WorkflowError> {
        let (map_run, record) = self.find_map_run(arn)?;
        self.map_run(map_run, record)
    }

    fn map_run(&self, map_run: u64, record: MapRunRecord) -> Result<MapRunDescription, WorkflowError> {
        let mut executions = engine::counts(&self.engine.state, map_run, &record)?;
        executions.results_written = record.results_written;
        let parent = store::known(&self.engine.state, record.execution)?.map(|known| known.meta);
        let (execution_arn, machine_arn) =
            parent.map(|meta| (meta.arn, meta.machine_arn)).unwrap_or_default();
        Ok(MapRunDescription {
            arn: record.arn,
            execution_arn,
            machine_arn,
            status: record.status,
            started_at: record.started_at,
            ended_at: record.ended_at,
            max_concurrency: record.max_concurrency,
            tolerated_failure_percentage: record.tolerated_percentage,
            tolerated_failure_count: record.tolerated_count,
            items: MapRunCounts { total: record.items, ..executions },
            executions,
            redrive_count: record.redrive_count,
            redriven_at: record.redriven_at,
        })
    }

    pub async fn update_map_run(&self, request: UpdateMapRun) -> Result<(), WorkflowError> {
        let (map_run, mut record) = self.find_map_run(&request.arn)?;
        record.max_concurrency = request.max_concurrency.unwrap_or(record.max_concurrency);
        record.tolerated_count = request.tolerated_failure_count.unwrap_or(record.tolerated_count);
        record.tolerated_percentage =
            request.tolerated_failure_percentage.unwrap_or(record.tolerated_percentage);
        let mut writes = Vec::new();
        put(&mut writes, Key::WorkflowMapRun { map_run }, &record)?;
        store::commit(&self.engine.state, writes)
    }
}

fn read_token(text: &str) -> Result<Token, WorkflowError> {
    Token::decode(text)
        .ok_or_else(|| WorkflowError::new(ErrorKind::InvalidToken, "Invalid Token: 'Invalid token'"))
}
