//! The public handle, and what the engine stands on.

use crate::api::*;
use crate::engine::Engine;
use crate::{ExpressLog, Objects, WorkflowError};
use bourn_event::{Clock, Tasks};
use std::path::PathBuf;
use std::sync::Arc;

/// What the engine stands on.
#[derive(Clone)]
pub struct Options {
    /// Where its store is; made if there is none.
    pub dir: PathBuf,
    /// Region and account in ARNs.
    pub region: String,
    pub account: String,
    pub clock: Arc<dyn Clock>,
    /// Is the clock the machine's, which somebody may set? Then `Seconds`, intervals and time-outs are
    /// held against the time that really passes. A test's clock is `Virtual`: it is the truth.
    pub pace: Pace,
    pub tasks: Arc<dyn Tasks>,
    pub objects: Arc<dyn Objects>,
    /// Where the events of Express executions go.
    pub express_log: Arc<dyn ExpressLog>,
    /// Asked before every commit; an error stands for a disk that fails. For tests.
    pub fault: Option<Fault>,
}

/// See [`Options::fault`].
pub type Fault = Arc<dyn Fn() -> Result<(), WorkflowError> + Send + Sync>;

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    #[default]
    Steady,
    Virtual,
}

/// The workflows of a pipeline. Cheap to clone; all clones are the same engine.
///
/// Its operations stand with what they are about: machines, executions, activities and map runs.
#[derive(Clone)]
pub struct Workflows {
    pub(crate) engine: Arc<Engine>,
}

impl Workflows {
    /// Opens the store and goes on with every execution that has not ended. Within a tokio runtime.
    pub async fn open(options: Options) -> Result<Self, WorkflowError> {
        let engine = Engine::open(options)?;
        if let Err(error) = engine.resume() {
            // What runs already holds the store: it ends first, so that the next attempt can have it.
            engine.close().await;
            return Err(error);
        }
        Ok(Self { engine })
    }

    /// Stops taking requests, lets the transitions under way become durable, and returns. Tasks under
    /// way are given up; they are done again at the next start. The store itself is released with the
    /// last clone of this handle.
    pub async fn close(&self) {
        self.engine.close().await;
    }

    /// What the engine is doing.
    pub fn activeness(&self) -> Activeness {
        self.engine.activeness()
    }
}
