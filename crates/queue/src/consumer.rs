//! Who still needs the log's events: retention and the byte budget respect the slowest.

use crate::shared::Shared;
use bourn_event::Offset;
use std::sync::Arc;

/// A named place in the log up to which everything is done with. Dropping the handle leaves the
/// place; [`Consumer::remove`] gives it up.
pub struct Consumer {
    shared: Arc<Shared>,
    name: String,
}

impl Consumer {
    pub(crate) fn register(shared: Arc<Shared>, name: String, at: Offset) -> Self {
        let mut state = shared.state.lock();
        state.consumers.insert(name.clone(), at);
        shared.weigh(&state);
        drop(state);
        Self { shared, name }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Everything before `offset` is no longer needed. Never moves backwards.
    pub fn advance(&self, offset: Offset) {
        let mut state = self.shared.state.lock();
        if let Some(at) = state.consumers.get_mut(&self.name) {
            *at = offset.max(*at);
        }
        self.shared.weigh(&state);
    }

    /// Where the consumer stands; `None` once it was removed.
    pub fn offset(&self) -> Option<Offset> {
        self.shared.state.lock().consumers.get(&self.name).copied()
    }

    /// The consumer needs nothing any more.
    pub fn remove(self) {
        let mut state = self.shared.state.lock();
        state.consumers.remove(&self.name);
        self.shared.weigh(&state);
    }
}
