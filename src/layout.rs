//! Which file lies where.

use bourn_config::Loaded;
use std::path::PathBuf;

/// The folders of a pipeline.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `<pipeline>/.bourn`: the logs and the state.
    pub state: PathBuf,
    /// `<pipeline>/lake`, if the lake is a local folder.
    lake: Option<PathBuf>,
}

/// The three logs of a stream: one format, one folder each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// The stream itself; its sealed segments are the raw zone.
    Events,
    /// The dead letters.
    Rejects,
    /// What was dropped on purpose, by offset.
    Outcomes,
}

impl LogKind {
    pub const ALL: [LogKind; 3] = [Self::Events, Self::Rejects, Self::Outcomes];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Rejects => "rejects",
            Self::Outcomes => "outcomes",
        }
    }
}

impl Layout {
    pub fn of(loaded: &Loaded) -> Self {
        let storage = &loaded.pipeline.storage;
        let lake = (!storage.lake.contains("://")).then(|| loaded.dir.join(&storage.lake));
        Self { state: loaded.dir.join(&storage.state), lake }
    }

    /// Is the lake an object store?
    pub fn is_remote(&self) -> bool {
        self.lake.is_none()
    }

    /// Is there a lake to read?
    pub fn has_lake(&self) -> bool {
        self.lake.as_ref().is_none_or(|lake| lake.is_dir())
    }

    /// Active segments of a log.
    pub fn log(&self, stream: &str, kind: LogKind) -> PathBuf {
        self.state.join("streams").join(stream).join(kind.name())
    }

    /// Sealed segments of a log. Those of the events are the raw zone; where the lake is an object
    /// store they stay beside the log.
    pub fn sealed(&self, stream: &str, kind: LogKind) -> PathBuf {
        match (&self.lake, kind) {
            (Some(lake), LogKind::Events) => lake.join("raw").join(stream),
            _ => self.log(stream, kind).join("sealed"),
        }
    }

    pub fn dedupe(&self, stream: &str) -> PathBuf {
        self.state.join("streams").join(stream).join("dedupe")
    }

    /// The key-value state.
    pub fn store(&self) -> PathBuf {
        self.state.join("state")
    }

    /// Where queries and compactions spill to.
    pub fn spill(&self) -> PathBuf {
        self.state.join("spill")
    }
}
