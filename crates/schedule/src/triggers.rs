//! Triggers: patterns over events, and the runs that they begin.

use crate::envelope::{Home, OWN_SOURCE, OwnEvent, STREAM_SOURCE};
use crate::input::{Facts, Input};
use crate::pattern::{Known, Pattern};
use crate::runs::{Entry, Runs};
use crate::scheduler::start;
use crate::starter::{Ended, RunRef, Starter, kind_of, name_of, stream_of};
use crate::time::sortable;
use crate::troubles::Troubles;
use bourn_config::{DEFAULT_BUS, Target, Trigger, TriggerOn};
use bourn_event::{Clock, Micros, Run, RunStatus};
use bourn_state::Durability;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Runs of triggers that are followed to their end at once; with more, new ones wait to begin.
const FOLLOWED_MAX: usize = 10_000;

/// What is wrong with a trigger, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("trigger `{trigger}`, {key}{pointer}: {message}")]
pub struct TriggerFault {
    pub trigger: String,
    /// `pattern` or `input`.
    pub key: &'static str,
    /// JSON pointer into it.
    pub pointer: String,
    pub message: String,
}

/// All triggers that are enabled, compiled.
#[derive(Debug)]
pub struct Triggers {
    home: Home,
    compiled: Vec<Compiled>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    name: String,
    on: Option<TriggerOn>,
    target: Target,
    pattern: Pattern,
    input: Option<Input>,
}

impl Triggers {
    /// Compiles them; gives every fault, also of those that are disabled.
    pub fn compile(triggers: &BTreeMap<String, Trigger>, home: Home) -> Result<Arc<Self>, Vec<TriggerFault>> {
        let mut faults = Vec::new();
        let mut compiled = Vec::new();
        for (name, trigger) in triggers {
            let fault = |key, pointer, message| TriggerFault { trigger: name.clone(), key, pointer, message };
            let pattern = Pattern::compile(&trigger.pattern).map_err(|found| {
                faults.extend(found.into_iter().map(|found| fault("pattern", found.pointer, found.message)));
            });
            let input = trigger.input.as_ref().map(Input::compile).transpose().map_err(|found| {
                faults.extend(found.into_iter().map(|found| fault("input", found.pointer, found.message)));
            });
            if let (Ok(pattern), Ok(input), true) = (pattern, input, trigger.enabled) {
                let (name, on, target) = (name.clone(), trigger.on.clone(), trigger.run.clone());
                compiled.push(Compiled { name, on, target, pattern, input });
            }
        }
        if faults.is_empty() { Ok(Arc::new(Self { home, compiled })) } else { Err(faults) }
    }

    /// Could any event of this stream match?
    pub fn concern_stream(&self, stream: &str) -> bool {
        self.of_stream(stream).next().is_some()
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn of_stream<'a>(&'a self, stream: &'a str) -> impl Iterator<Item = &'a Compiled> {
        self.compiled.iter().filter(move |trigger| {
            trigger.listens_to_stream(stream) && self.could_match(trigger, STREAM_SOURCE, stream)
        })
    }

    /// Those that an event on a bus matches.
    pub(crate) fn of_bus<'a>(&'a self, bus: &'a str, event: &'a Value) -> impl Iterator<Item = &'a Compiled> {
        let listening = self.compiled.iter().filter(move |trigger| trigger.listens_to_bus(bus));
        listening.filter(move |trigger| trigger.pattern.matches(event))
    }

    pub(crate) fn of_own(&self, event: &OwnEvent) -> impl Iterator<Item = &Compiled> {
        let own_run = match event {
            OwnEvent::RunEnded(run) => run.cause.strip_prefix("trigger:").map(str::to_owned),
            _ => None,
        };
        let detail_type = event.detail_type();
        self.compiled.iter().filter(move |trigger| {
            // The end of what a trigger began does not set it off again, for ever.
            own_run.as_ref() != Some(&trigger.name)
                && trigger.listens_to_bourn()
                && self.could_match(trigger, OWN_SOURCE, detail_type)
        })
    }

    fn could_match(&self, trigger: &Compiled, source: &str, detail_type: &str) -> bool {
        let known: &Known<'_> = &[
            ("version", "0"),
            ("source", source),
            ("detail-type", detail_type),
            ("account", &self.home.account),
            ("region", &self.home.region),
        ];
        trigger.pattern.could_match(known)
    }
}

impl Compiled {
    fn listens_to_stream(&self, stream: &str) -> bool {
        self.on.as_ref().is_none_or(|on| matches!(on, TriggerOn::Stream(name) if name == stream))
    }

    fn listens_to_bourn(&self) -> bool {
        self.on.as_ref().is_none_or(|on| *on == TriggerOn::Bourn)
    }

    fn listens_to_bus(&self, bus: &str) -> bool {
        match &self.on {
            None => bus == DEFAULT_BUS,
            Some(on) => matches!(on, TriggerOn::Bus(name) if name == bus),
        }
    }

    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    fn input(&self, event: &Value, ingestion_time: &str) -> Value {
        let facts = Facts { rule: &self.name, ingestion_time };
        self.input.as_ref().map_or_else(|| event.clone(), |input| input.render(event, facts))
    }
}

/// The pipeline is closing; what was not begun is begun after the next start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pipeline is closing")]
pub struct Closing;

/// Begins the runs of triggers, and follows them to their end. One for all triggers.
pub struct Launcher {
    starter: Arc<dyn Starter>,
    runs: Arc<Runs>,
    clock: Arc<dyn Clock>,
    followed: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Launcher {
    pub fn new(
        starter: Arc<dyn Starter>,
        runs: Arc<Runs>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let followed = Arc::new(Semaphore::new(FOLLOWED_MAX));
        Arc::new(Self { starter, runs, clock, followed, stop })
    }

    /// Follows the runs that triggers and backfills began before the process started. Call it once, in a runtime.
    pub fn reattach(self: &Arc<Self>) {
        let open = ["trigger:", "backfill:"].into_iter().flat_map(|cause| self.runs.open_of(cause));
        for entry in open {
            if let Some(reference) = entry.reference() {
                self.follow(entry.run.id, reference, self.followed.clone().try_acquire_owned().ok());
            }
        }
    }

    /// What keeps runs from beginning at the moment.
    pub fn troubles(&self) -> &Troubles {
        self.runs.troubles()
    }

    pub(crate) fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Begins the run of an event; tries until it is begun or refused for good. `origin` is what the event is
    /// named by: `<stream>/<offset>`, `bourn/<event id>`, `bus/<event id>`.
    pub(crate) async fn launch(
        self: &Arc<Self>,
        trigger: &Compiled,
        origin: &str,
        at: Micros,
        event: &Value,
    ) -> Result<(), Closing> {
        let record_id = format!("{}-trigger-{}-{}", sortable(at), trigger.name, origin.replace('/', "-"));
        if self.runs.entry(&record_id).is_some() {
            return Ok(());
        }
        metrics::counter!("bourn_trigger_matches_total", "trigger" => trigger.name.clone()).increment(1);
        let reference = RunRef {
            target: trigger.target.clone(),
            id: format!("trigger/{}/{origin}", trigger.name),
            execution: None,
        };
        let input = trigger.input(event, event["time"].as_str().unwrap_or_default());
        let begin = async {
            let permit = self.followed.clone().acquire_owned().await;
            (permit.ok(), start(&*self.starter, &reference, input).await)
        };
        let (permit, begun) = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Closing),
            begun = begin => begun,
        };
        let mut entry = self.entry(trigger, record_id, reference.id.clone());
        match begun {
            Ok(started) => {
                entry.run.execution.clone_from(&started.execution);
                self.note(&entry);
                let reference = RunRef { execution: started.execution, ..reference };
                self.follow(entry.run.id, reference, permit);
            }
            Err(error) => {
                entry.close(Ended::failed(format!("it could not begin: {error}")), self.clock.now());
                self.note(&entry);
            }
        }
        Ok(())
    }

    fn entry(&self, trigger: &Compiled, id: String, start_id: String) -> Entry {
        let run = Run {
            id,
            kind: kind_of(&trigger.target),
            name: name_of(&trigger.target),
            stream: stream_of(&trigger.target),
            cause: format!("trigger:{}", trigger.name),
            scheduled_at: None,
            started_at: self.clock.now(),
            ended_at: None,
            status: RunStatus::Running,
            rows: None,
            error: None,
            execution: None,
        };
        Entry { run, start_id: Some(start_id) }
    }

    fn note(&self, entry: &Entry) {
        if let Err(error) = self.runs.commit(Vec::new(), vec![entry.clone()], Durability::Buffered) {
            tracing::warn!(run = entry.run.id, %error, "a run could not be noted");
        }
    }

    fn follow(self: &Arc<Self>, id: String, run: RunRef, permit: Option<OwnedSemaphorePermit>) {
        let launcher = self.clone();
        tokio::spawn(async move {
            let ended = tokio::select! {
                () = launcher.stop.cancelled() => return,
                ended = launcher.starter.finished(&run) => ended,
            };
            if let Err(error) = launcher.runs.end(&id, ended) {
                tracing::warn!(run = id, %error, "the end of a run could not be noted");
            }
            drop(permit);
        });
    }
}
