//! Files that a definition refers to.

use super::Context;
use crate::suggest;
use std::path::Path;

impl Context<'_> {
    /// `path`, relative to the pipeline's folder, must be a file.
    pub(super) fn file(&mut self, pointer: &str, path: &Path) {
        let shown = path.display().to_string();
        if shown.is_empty() {
            return self.fault(pointer, "expected the path of a file, found nothing", None);
        }
        if !self.needs_files {
            return;
        }
        let full = self.dir.join(path);
        match std::fs::metadata(&full) {
            Ok(found) if found.is_file() => {}
            Ok(_) => self.fault(pointer, format!("`{shown}` is not a file"), None),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let hint = self.nearby(path);
                self.fault(pointer, format!("there is no file `{shown}`"), hint);
            }
            Err(error) => self.fault(pointer, format!("`{shown}` cannot be read: {error}"), None),
        }
    }

    /// The file that was meant: one of the same folder, or one of that name in a folder next to the definition.
    fn nearby(&self, path: &Path) -> Option<String> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let mut there = self.list(folder);
        if there.is_empty() {
            let folders = std::fs::read_dir(self.dir).ok()?.take(MAX_LISTED).filter_map(Result::ok);
            let folders: Vec<_> = folders.filter(|entry| entry.path().is_dir()).collect();
            there = folders.iter().flat_map(|entry| self.list(Path::new(&entry.file_name()))).collect();
        }
        let wanted = path.display().to_string();
        if let Some(found) = suggest::nearest(&wanted, there.iter().map(String::as_str)) {
            return Some(format!("did you mean `{found}`?"));
        }
        let name = path.file_name()?;
        let found = there.iter().find(|candidate| Path::new(candidate).file_name() == Some(name))?;
        Some(format!("did you mean `{found}`?"))
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.join(folder)).into_iter().flatten().take(MAX_LISTED);
        let mut files: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.path().is_file())
            .map(|entry| folder.join(entry.file_name()).display().to_string())
            .collect();
        files.sort();
        files
    }
}

/// A folder of data must not make a fault slow.
pub(super) const MAX_LISTED: usize = 1_000;
