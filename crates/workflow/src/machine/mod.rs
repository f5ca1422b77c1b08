//! The machine: executions as state, and the steps between.
//!
//! An [`Execution`] is a tree of frames. A frame is one thread of control: the execution itself, a branch
//! of a Parallel, an iteration of an inline Map. [`Execution::step`] takes one input, runs until nothing
//! can go on by itself, and leaves what has to be done ([`Action`]), what happened ([`Event`]) and which
//! frames changed. It does no I/O and reads no clock.
//!
//! ```text
//!  input ──► step ──► events   (history)
//!                ├──► changes  (frames to be stored)
//!                └──► actions  (tasks, timers; only after both are durable)
//! ```
//!
//! Invariants:
//! 1. A frame that waits for something names it: a timer by its serial, a task by its attempt. An input
//!    that names anything else is stale and changes nothing. So inputs may come twice.
//! 2. After a step no frame is ready: each waits, has ended, or waits for its children.
//! 3. What a finished child put out is kept in its own frame until all have finished, so that a step of
//!    one iteration never writes the others.

mod enter;
mod fail;
mod frame;
mod nest;
mod resource;
mod scope;
mod step;
mod task;

pub use frame::{Frame, MapPhase, Phase, TaskPhase, TimerRef};
pub use resource::{Pattern, Resource};
pub use scope::{base_context, rfc3339};
pub use step::Step;

use crate::api::ExecutionStatus;
use crate::data::Data;
use crate::event::Event;
use bourn_asl::Machine;
use bourn_event::Micros;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub type FrameId = u32;

/// The frame of the execution itself.
pub const ROOT: FrameId = 0;

/// What never changes about an execution. `store::revision_of` reads its fields up to the revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Its number in this store.
    pub seq: u64,
    pub arn: String,
    pub name: String,
    pub machine_arn: String,
    pub machine_name: String,
    pub role_arn: String,
    pub region: String,
    pub started_at: Micros,
    pub input: Data,
    pub express: bool,
    pub events_max: u64,
    pub payload_bytes_max: u64,
    /// The definition, by its content.
    pub revision: String,
    /// Of a distributed Map's child: the Map state whose processor it runs.
    pub map_state: Option<String>,
    /// Of a distributed Map's child: which map run, and which child of it.
    pub map_run: Option<(u64, u32)>,
    pub trace: Option<String>,
}

/// What changes with every step, and is small.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Head {
    pub status: ExecutionStatus,
    pub next_event: u64,
    pub next_frame: FrameId,
    pub next_serial: u32,
    pub redrive_count: u32,
    pub redriven_at: Option<Micros>,
    /// The machine's `TimeoutSeconds`.
    pub timeout: Option<TimerRef>,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub ended_at: Micros,
    pub output: Option<Data>,
    pub error: Option<String>,
    pub cause: Option<String>,
}

/// An execution between two steps.
#[derive(Clone, Debug)]
pub struct Execution {
    pub meta: Arc<Meta>,
    pub machine: Arc<Machine>,
    pub head: Head,
    pub frames: BTreeMap<FrameId, Frame>,
    /// Frames that the last steps changed, and those they removed; taken by whoever stores them.
    pub changed: BTreeSet<FrameId>,
    pub removed: BTreeMap<FrameId, Removed>,
    /// The context object, kept between evaluations; built when first asked for.
    context: serde_json::Value,
}

/// What was stored of a frame that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    pub in_flight: bool,
    pub has_items: bool,
}

/// The present: of the wall clock, which is shown, and of time as it passes, which waits are held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    pub wall: Micros,
    pub steady: Micros,
}

/// What a step may know of the world.
pub struct World<'a> {
    pub now: Now,
    /// For jitter, tokens and random functions.
    pub seed: u64,
    /// Are events wanted?
    pub record: bool,
    /// Is there an activity with this ARN?
    pub activity: &'a (dyn Fn(&str) -> bool + Sync),
}

/// What happens to an execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    Start,
    /// The service took the job (`.sync`) or was called (`.waitForTaskToken`).
    Submitted {
        frame: FrameId,
        attempt: u32,
        answer: Data,
    },
    Succeeded {
        frame: FrameId,
        attempt: u32,
        output: Data,
    },
    Failed {
        frame: FrameId,
        attempt: u32,
        error: Option<String>,
        cause: Option<String>,
    },
    /// A worker has taken the activity's task.
    Taken {
        frame: FrameId,
        attempt: u32,
        worker: Option<String>,
    },
    Heartbeat {
        frame: FrameId,
        attempt: u32,
    },
    Timer {
        frame: FrameId,
        serial: u32,
    },
    Stop {
        error: Option<String>,
        cause: Option<String>,
    },
    Redrive,
}

/// What is to be done, once the step is durable.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Run a task, or go on waiting for one that was submitted.
    Task {
        frame: FrameId,
        attempt: u32,
    },
    /// Nobody waits for it any more.
    CancelTask {
        frame: FrameId,
        attempt: u32,
    },
    /// Offer a task to an activity's workers.
    Offer {
        frame: FrameId,
        attempt: u32,
        activity: String,
    },
    Withdraw {
        frame: FrameId,
        attempt: u32,
        activity: String,
    },
    SetTimer {
        frame: FrameId,
        timer: TimerRef,
    },
    ClearTimer {
        frame: FrameId,
        timer: TimerRef,
    },
    End(Outcome),
}

/// What a step leaves.
#[derive(Clone, Debug, Default)]
pub struct Stepped {
    pub events: Vec<Event>,
    pub actions: Vec<Action>,
    /// Was the input stale?
    pub ignored: bool,
}

impl Execution {
    /// A new one, before [`Input::Start`].
    pub fn new(meta: Arc<Meta>, machine: Arc<Machine>) -> Self {
        let head = Head {
            status: ExecutionStatus::Running,
            next_event: 1,
            next_frame: ROOT,
            next_serial: 1,
            redrive_count: 0,
            redriven_at: None,
            timeout: None,
        };
        Self::restore(meta, machine, head, BTreeMap::new())
    }

    /// One that was stored. Variables that a frame sees are put together from the frames above it.
    pub fn restore(
        meta: Arc<Meta>,
        machine: Arc<Machine>,
        head: Head,
        mut frames: BTreeMap<FrameId, Frame>,
    ) -> Self {
        let ids: Vec<_> = frames.keys().copied().collect();
        for id in ids {
            // A frame's number is larger than its parent's, so that the parent's variables are there.
            let above = frames[&id].parent.and_then(|parent| frames.get(&parent)).map(|p| p.visible.clone());
            if let Some(frame) = frames.get_mut(&id) {
                frame.stored = true;
                frame.see(above);
            }
        }
        Self {
            meta,
            machine,
            head,
            frames,
            changed: BTreeSet::new(),
            removed: BTreeMap::new(),
            context: serde_json::Value::Null,
        }
    }

    /// Takes one input.
    pub fn step(&mut self, input: Input, world: &World<'_>) -> Stepped {
        Step::new(self, world).run(input)
    }

    pub fn is_open(&self) -> bool {
        self.head.status == ExecutionStatus::Running
    }
}
