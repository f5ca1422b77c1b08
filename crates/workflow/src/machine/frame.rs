//! One thread of control of an execution, and what it waits for.

use super::FrameId;
use crate::data::Data;
use bourn_asl::Variables;
use bourn_event::Micros;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A thread of control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Frame {
    pub parent: Option<FrameId>,
    /// Which branch or iteration of its parent.
    pub index: u32,
    /// The state it is in.
    pub state: String,
    /// The state's input, before any processing.
    pub input: Data,
    /// Variables that were set in this frame.
    pub own: Vec<(String, Data)>,
    /// Event of the state's entry, and the one before that.
    pub entered: u64,
    pub before: u64,
    pub entered_at: Micros,
    /// The last event of this frame.
    pub last: u64,
    /// How often each retrier of the state was used, since the state was entered.
    pub retries: Vec<u32>,
    pub phase: Phase,
    /// Is it in the list of tasks that have to be at work? Kept by whoever stores it.
    pub in_flight: bool,
    /// Are items stored beside it?
    pub has_items: bool,
    /// Has it been stored at all?
    #[serde(skip)]
    pub stored: bool,
    /// Items of the inline Map that this frame is in; stored beside the frame, once.
    #[serde(skip)]
    pub items: Option<Data>,
    /// The items are new, and not stored yet.
    #[serde(skip)]
    pub items_changed: bool,
    /// Everything it can see: `own` over what the frames above have.
    #[serde(skip)]
    pub visible: Arc<Variables>,
    /// The Map state's input after `InputPath`, kept while iterations start.
    #[serde(skip)]
    pub effective: Option<Data>,
}

/// A timer that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerRef {
    pub serial: u32,
    pub due: Micros,
    /// Due by the wall clock (a `Timestamp`), and not after so much time.
    pub wall: bool,
}

/// What a frame does between two steps. Persisted by position: new ones go to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Phase {
    /// About to enter its state. Never stored.
    Enter,
    /// About to do its state again, which it has entered before. Never stored.
    Again,
    /// In a Wait.
    Waiting(TimerRef),
    /// Before another try.
    Retrying(TimerRef),
    Task(Box<TaskPhase>),
    /// In a Parallel with so many branches that have not ended.
    Parallel {
        open: u32,
    },
    Map(MapPhase),
    /// It has ended, with this output.
    Ended(Data),
    /// Its execution ended before it did; a redrive goes on here.
    Cut,
    /// The same, with a map run whose children a redrive goes on with.
    CutRun(Box<TaskPhase>),
}

/// A task, a worker's task, or a map run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskPhase {
    /// New with every try.
    pub attempt: u32,
    /// Goes into the token, where there is one.
    pub secret: Option<u64>,
    pub parameters: Data,
    /// What the service answered, once it has the job.
    pub submitted: Option<Data>,
    /// An activity's task that a worker has.
    pub taken: bool,
    pub timeout: Option<TimerRef>,
    pub timeout_s: Option<u64>,
    pub heartbeat: Option<TimerRef>,
    pub heartbeat_s: Option<u64>,
}

/// An inline Map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPhase {
    pub total: u32,
    /// The next item to be started.
    pub next: u32,
    pub running: u32,
    /// At most so many at once; 0 is no bound.
    pub running_max: u32,
}

impl Frame {
    pub fn new(parent: Option<FrameId>, index: u32, state: String, input: Data, last: u64) -> Self {
        Self {
            parent,
            index,
            state,
            input,
            own: Vec::new(),
            entered: 0,
            before: 0,
            entered_at: 0,
            last,
            retries: Vec::new(),
            phase: Phase::Enter,
            in_flight: false,
            has_items: false,
            stored: false,
            items: None,
            items_changed: false,
            visible: Arc::default(),
            effective: None,
        }
    }

    /// Puts together what it sees.
    pub fn see(&mut self, above: Option<Arc<Variables>>) {
        self.visible = above.unwrap_or_default();
        if !self.own.is_empty() {
            let visible = Arc::make_mut(&mut self.visible);
            for (name, value) in &self.own {
                visible.insert(name.clone(), value.value().clone());
            }
        }
    }

    pub fn assign(&mut self, variables: &[(String, Data)]) {
        let visible = Arc::make_mut(&mut self.visible);
        for (name, value) in variables {
            visible.insert(name.clone(), value.value().clone());
            match self.own.iter_mut().find(|(own, _)| own == name) {
                Some((_, old)) => *old = value.clone(),
                None => self.own.push((name.clone(), value.clone())),
            }
        }
    }

    pub fn retry_count(&self) -> u32 {
        self.retries.iter().sum()
    }

    pub fn task(&self) -> Option<&TaskPhase> {
        match &self.phase {
            Phase::Task(task) => Some(task),
            _ => None,
        }
    }
}
