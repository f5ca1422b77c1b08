//! What stands beside the route: functions, workflows, schedules, triggers and runs, joined.
//!
//! ```text
//!  functions ◄── stages of the route, workflows, schedules, triggers, AWS API
//!  workflows ──► integrations ──► functions · SQL · jobs · keyed tables · streams · notifiers · HTTP
//!  schedules, triggers, backfills ──► starter ──► workflows · functions · jobs ──► runs
//! ```
//!
//! The functions are opened before the streams, whose stages may call them, and closed behind them.
//! Everything else is opened behind the streams, and closed before them.

mod answers;
mod buses;
pub mod calls;
pub mod check;
pub mod express;
mod feeds;
mod jobs;
pub mod machines;
mod objects;
pub mod starter;
pub mod stopped;
mod streams;
pub mod tables;
pub mod timeline;

use crate::definition::Definition;
use crate::layout::Layout;
use crate::pipeline::Pipeline;
pub use answers::Answers;
use anyhow::{Context, Result, anyhow, bail};
use bourn_config::Schedule;
use bourn_event::{Clock, Streams};
use bourn_functions::{Host, Settings};
use bourn_integrations::{Integrations, Parts};
use bourn_schedule::{Announcer, Bus, Home, Launcher, OwnEvent, OwnTriggers, Runs, Scheduler, Triggers};
use bourn_state::State;
use bourn_workflow::{ListExecutions, MachineItem, MachineType, Options, Pace, Paging, Workflows};
use express::ExecutionLog;
use jobs::PipelineJobs;
use objects::Buckets;
use parking_lot::Mutex;
use starter::{PipelineStarter, refused};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use streams::Ports;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long functions that run may take to end when the pipeline closes.
const FUNCTIONS_GRACE: Duration = Duration::from_secs(5);

/// Opens the functions of a pipeline.
pub fn open_functions(definition: &Definition, state: &State, clock: &Arc<dyn Clock>) -> Result<Arc<Host>> {
    let pipeline = &definition.loaded.pipeline;
    let mut settings = Settings::new(&definition.loaded.dir, definition.layout.functions());
    settings.region.clone_from(&pipeline.aws.region);
    settings.account.clone_from(&pipeline.aws.account);
    Ok(Host::open(&pipeline.functions, settings, state.clone(), clock.clone())?)
}

/// Ends what the functions run, behind everybody who calls them.
pub async fn close_functions(host: &Host) {
    host.close(FUNCTIONS_GRACE).await;
}

/// Everything beside the route but the functions' processes.
pub struct Compute {
    pub host: Arc<Host>,
    pub workflows: Workflows,
    /// What Express executions tell.
    pub express: Arc<ExecutionLog>,
    pub runs: Arc<Runs>,
    pub scheduler: Arc<Scheduler>,
    pub schedules: BTreeMap<String, Schedule>,
    pub starter: Arc<PipelineStarter>,
    pub clock: Arc<dyn Clock>,
    streams: Arc<dyn Streams>,
    triggers: Arc<Triggers>,
    bus: Arc<Bus>,
    launcher: Arc<Launcher>,
    announcer: Announcer,
    own: Mutex<Option<OwnTriggers>>,
    stop: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Compute {
    /// Opens everything for a pipeline whose streams are open; executions go on where they were.
    pub async fn open(pipeline: &Arc<Pipeline>) -> Result<Arc<Self>> {
        let definition = &pipeline.definition;
        let settings = &definition.loaded.pipeline;
        let (clock, state) = (pipeline.clock.clone(), (*pipeline.state).clone());
        let jobs = Arc::new(PipelineJobs { pipeline: Arc::downgrade(pipeline) });
        let streams: Arc<dyn Streams> = Arc::new(Ports(pipeline.ports.clone()));
        let runs = Runs::open(state.clone(), clock.clone())?;
        let triggers = triggers(settings)?;
        let bus = Bus::open(&runs, clock.clone(), triggers.clone())?;
        let integrations = Integrations::open(Parts {
            functions: pipeline.functions.clone(),
            query: pipeline.engine.clone(),
            jobs: jobs.clone(),
            streams: streams.clone(),
            clock: clock.clone(),
            state: state.clone(),
            outbound: pipeline.outside.outbound(),
            keyed: settings.keyed.clone(),
            notifiers: settings.notifiers.clone(),
            connections: settings.connections.clone(),
            aws: settings.aws.clone(),
            bus: Arc::new(buses::Buses(bus.clone())),
        })?;
        let express = ExecutionLog::open(definition.layout.execution_log())?;
        let workflows = Workflows::open(Options {
            dir: definition.layout.workflows(),
            region: settings.aws.region.clone(),
            account: settings.aws.account.clone(),
            clock: clock.clone(),
            pace: Pace::Steady,
            tasks: Arc::new(integrations),
            objects: Arc::new(Buckets(pipeline.lake.clone())),
            express_log: express.clone(),
            fault: None,
        });
        let workflows = workflows.await.map_err(|error| refused(&error))?;
        let files = definition.workflows.iter().map(machines::WorkflowFile::register).collect();
        workflows.register(files).await.map_err(|error| refused(&error))?;
        let starter = Arc::new(PipelineStarter::new(
            workflows.clone(),
            pipeline.functions.clone(),
            settings.functions.clone(),
            jobs,
            clock.clone(),
        ));
        let scheduler = Scheduler::new(state, runs.clone(), clock.clone(), starter.clone());
        scheduler.set(&settings.schedules)?;
        let stop = CancellationToken::new();
        let launcher = Launcher::new(starter.clone(), runs.clone(), clock.clone(), stop.clone());
        let (announcer, own) = OwnTriggers::new(triggers.clone(), launcher.clone(), clock.clone());
        let compute = Arc::new(Self {
            host: pipeline.functions.clone(),
            workflows,
            express,
            runs,
            scheduler,
            schedules: settings.schedules.clone(),
            starter,
            clock,
            streams,
            triggers,
            bus,
            launcher,
            announcer: announcer.clone(),
            own: Mutex::new(Some(own)),
            stop,
            tasks: Mutex::default(),
        });
        compute.runs.on_end(move |run| {
            announcer.announce(OwnEvent::RunEnded(Box::new(run.clone())));
        });
        tables::register(&pipeline.engine, tables::Running(Arc::downgrade(&compute)));
        Ok(compute)
    }

    /// Begins what begins by itself: schedules, triggers, asynchronous invocations.
    pub fn start(self: &Arc<Self>, pipeline: &Arc<Pipeline>) -> Result<()> {
        self.host.start(self.streams.clone());
        self.launcher.reattach();
        let mut tasks = self.tasks.lock();
        feeds::follow_streams(pipeline, &self.triggers, &self.launcher, &self.stop, &mut tasks)?;
        feeds::announce(pipeline, &self.announcer, &self.stop, &mut tasks);
        if let Some(own) = self.own.lock().take() {
            tasks.spawn(own.run(self.stop.clone()));
        }
        let (bus, launcher, stop) = (self.bus.clone(), self.launcher.clone(), self.stop.clone());
        tasks.spawn(async move { bus.run(&launcher, stop).await });
        let (scheduler, stop) = (self.scheduler.clone(), self.stop.clone());
        tasks.spawn(async move { scheduler.run(stop).await });
        Ok(())
    }

    /// Tells triggers what happened.
    pub fn announce(&self, event: OwnEvent) {
        self.announcer.announce(event);
    }

    /// Forgets executions whose history is over its age.
    pub async fn sweep(&self) {
        if let Err(error) = self.workflows.sweep().await {
            tracing::warn!("old executions have to wait: {error}");
        }
    }

    /// Begins nothing any more, and makes what was begun durable. Executions go on at the next start.
    pub async fn close(&self) {
        self.stop.cancel();
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        while tasks.join_next().await.is_some() {}
        self.workflows.close().await;
        self.express.close();
    }

    pub async fn machines(&self) -> Result<Vec<MachineItem>> {
        let (mut machines, mut page) = (Vec::new(), Paging::default());
        loop {
            let found = self.workflows.list_machines(page).await.map_err(|error| refused(&error))?;
            machines.extend(found.items);
            match found.next_token {
                Some(token) => page = Paging { max_results: 0, next_token: Some(token) },
                None => return Ok(machines),
            }
        }
    }

    /// The ARN of a workflow that there is.
    pub async fn machine_arn(&self, name: &str) -> Result<String> {
        let machines = self.machines().await?;
        match machines.iter().find(|machine| machine.name == name || machine.arn == name) {
            Some(machine) => Ok(machine.arn.clone()),
            None => {
                let names: Vec<_> = machines.iter().map(|machine| machine.name.as_str()).collect();
                bail!("there is no workflow `{name}`; there are: {}", names.join(", "))
            }
        }
    }

    pub async fn is_express(&self, name: &str) -> Result<bool> {
        let machines = self.machines().await?;
        Ok(machines
            .iter()
            .any(|machine| machine.name == name && machine.machine_type == MachineType::Express))
    }

    /// The ARN of an execution: itself, `WORKFLOW/NAME`, or a workflow's latest.
    pub async fn execution_arn(&self, named: &str) -> Result<String> {
        if named.starts_with("arn:") {
            return Ok(named.to_string());
        }
        let (workflow, name) = match named.split_once('/') {
            Some((workflow, name)) => (workflow, Some(name)),
            None => (named, None),
        };
        if self.is_express(workflow).await? {
            let logged = self.express.latest(workflow, name);
            return logged.with_context(|| format!("no execution of `{named}` is logged"));
        }
        if let Some(name) = name {
            let machine = self.machine_arn(workflow).await?;
            return Ok(format!("{}:{name}", machine.replace(":stateMachine:", ":execution:")));
        }
        let request = ListExecutions {
            machine_arn: Some(self.machine_arn(named).await?),
            page: Paging { max_results: 1, next_token: None },
            ..ListExecutions::default()
        };
        let latest = self.workflows.list(request).await.map_err(|error| refused(&error))?;
        let latest = latest.items.into_iter().next();
        latest.map(|item| item.arn).with_context(|| format!("workflow `{named}` has no execution yet"))
    }
}

fn triggers(settings: &bourn_config::Pipeline) -> Result<Arc<Triggers>> {
    let home = Home { account: settings.aws.account.clone(), region: settings.aws.region.clone() };
    Triggers::compile(&settings.triggers, home).map_err(|faults| {
        anyhow!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

impl Layout {
    /// Executions and their history.
    pub fn workflows(&self) -> std::path::PathBuf {
        self.state.join("workflows")
    }

    /// The book of what Express executions tell.
    pub fn execution_log(&self) -> std::path::PathBuf {
        self.state.join("logs").join("executions")
    }

    /// Shims, logs and history of functions.
    pub fn functions(&self) -> std::path::PathBuf {
        self.state.join("functions")
    }
}
