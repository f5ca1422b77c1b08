//! The pipelines that `init` and `demo` start from, carried in the binary.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// A pipeline folder, as files.
pub struct Template {
    pub name: &'static str,
    pub about: &'static str,
    files: &'static [(&'static str, &'static [u8])],
    /// The stream the sample events belong to.
    pub stream: &'static str,
    /// Real events, as NDJSON compressed with zstd.
    pub events: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Finds a template, or says which there are.
pub fn find(name: &str) -> Result<&'static Template> {
    match TEMPLATES.iter().find(|template| template.name == name) {
        Some(template) => Ok(template),
        None => {
            let names: Vec<_> = TEMPLATES.iter().map(|template| template.name).collect();
            bail!("there is no template `{name}`; there are: {}", names.join(", "))
        }
    }
}

impl Template {
    /// Writes the folder. Refuses to write over a `bourn.yaml` that is there.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let definition = dir.join("bourn.yaml");
        if definition.exists() {
            bail!("{} exists already; choose an empty folder", definition.display());
        }
        for (path, content) in self.files {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
            }
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }
}
