//! What runs on after the Task that began it was answered, until somebody asks for its end.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Ended work that nobody has asked for is forgotten beyond this many.
const ENDED_MAX: usize = 1024;

/// Work by its id.
pub(crate) struct Background<T> {
    works: Mutex<HashMap<String, Work<T>>>,
    running_max: usize,
}

struct Work<T> {
    abort: AbortHandle,
    end: watch::Receiver<Option<T>>,
}

/// As much as may run is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl<T: Clone + Send + Sync + 'static> Background<T> {
    pub fn new(running_max: usize) -> Self {
        Self { works: Mutex::default(), running_max }
    }

    /// Begins it, unless it is known already.
    pub fn begin<F>(&self, id: &str, work: impl FnOnce() -> F) -> Result<(), Full>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut works = self.works.lock();
        if works.contains_key(id) {
            return Ok(());
        }
        if works.len() >= ENDED_MAX {
            works.retain(|_, work| !work.is_over());
        }
        if works.values().filter(|work| !work.is_over()).count() >= self.running_max {
            return Err(Full);
        }
        let (done, end) = watch::channel(None);
        let work = work();
        let task = tokio::spawn(async move {
            let value = work.await;
            done.send_replace(Some(value));
        });
        works.insert(id.to_string(), Work { abort: task.abort_handle(), end });
        Ok(())
    }

    /// Waits for the end; `None` if it is not known, or was ended from outside. Who goes away before
    /// the end takes the work with it.
    pub async fn join(&self, id: &str) -> Option<T> {
        let mut end = self.works.lock().get(id)?.end.clone();
        let guard = EndsWith { background: self, id, armed: true };
        let value = end.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        guard.disarm();
        self.works.lock().remove(id);
        value
    }

    /// Ends it. Was it running?
    pub fn stop(&self, id: &str) -> bool {
        let Some(work) = self.works.lock().remove(id) else { return false };
        let was_running = !work.is_over();
        work.abort.abort();
        was_running
    }
}

impl<T> Work<T> {
    fn is_over(&self) -> bool {
        self.end.borrow().is_some() || self.abort.is_finished()
    }
}

struct EndsWith<'a, T: Clone + Send + Sync + 'static> {
    background: &'a Background<T>,
    id: &'a str,
    armed: bool,
}

impl<T: Clone + Send + Sync + 'static> EndsWith<'_, T> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl<T: Clone + Send + Sync + 'static> Drop for EndsWith<'_, T> {
    fn drop(&mut self) {
        if self.armed {
            self.background.stop(self.id);
        }
    }
}

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        for work in self.works.get_mut().values() {
            work.abort.abort();
        }
    }
}
