//! What does not work at the moment, for whoever asks whether the pipeline is ready.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Troubles by what they are about. Cheap to clone; all clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<String, String>>>);

impl Troubles {
    /// Notes that something does not work, and why. It takes the place of what was noted about the same.
    pub fn note(&self, about: &str, why: impl ToString) {
        self.0.lock().insert(about.to_owned(), why.to_string());
    }

    /// It works again. True if it did not before.
    pub fn clear(&self, about: &str) -> bool {
        self.0.lock().remove(about).is_some()
    }

    /// All of them: what each is about, and why.
    pub fn list(&self) -> Vec<(String, String)> {
        self.0.lock().iter().map(|(about, why)| (about.clone(), why.clone())).collect()
    }
}
