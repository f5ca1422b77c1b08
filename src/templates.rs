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
    /// Does any part of it need `python3`?
    fn needs_python(&self) -> bool {
        self.files.iter().any(|(path, _)| path.ends_with(".py") && path.starts_with("functions/"))
    }

    /// Writes the folder. Refuses to write over a `bourn.yaml` that is there. Where there is no
    /// `python3`, what needs it is left out, and standard output says so.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let definition = dir.join("bourn.yaml");
        if definition.exists() {
            bail!("{} exists already; choose an empty folder", definition.display());
        }
        let has_python = !self.needs_python() || is_on_path("python3");
        for (path, content) in self.files {
            let path = dir.join(path);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)
                    .with_context(|| format!("cannot make {}", parent.display()))?;
            }
            let whole = std::str::from_utf8(content).ok().filter(|text| !has_python && text.contains(PYTHON));
            let content = whole.map_or_else(|| content.to_vec(), |text| without_python(text).into_bytes());
            std::fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if !has_python {
            println!("there is no python3 here: the template's functions are left out");
        }
        Ok(())
    }
}

/// Begins a part of a file that needs `python3`; a line `# end` or `-- end` ends it.
const PYTHON: &str = "python3:";

fn without_python(text: &str) -> String {
    let (mut out, mut skips) = (String::with_capacity(text.len()), false);
    for line in text.split_inclusive('\n') {
        let comment = line.trim().strip_prefix("# ").or_else(|| line.trim().strip_prefix("-- "));
        match comment {
            Some(said) if said.starts_with(PYTHON) => skips = true,
            Some("end") => skips = false,
            _ if skips => {}
            _ => out.push_str(line),
        }
    }
    out
}

fn is_on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_python_can_be_left_out() {
        let check = |text: &str, expected: &str| assert_eq!(without_python(text), expected);
        check("a\n  # python3: b\n  - c\n  # end\nd\n", "a\nd\n");
        check("x,\n  -- python3: of it\n  y,\n  -- end\n  z\n", "x,\n  z\n");
        check("# the end\n", "# the end\n");
    }
}
