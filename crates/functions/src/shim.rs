//! The runtimes for Python and Node.js: small programs of ours that load a handler and talk to the
//! Runtime API. They are part of this program and written beside the state at start.

use std::io;
use std::path::Path;

pub(crate) const PYTHON: &str = "bourn_runtime.py";
pub(crate) const NODE: &str = "bourn_runtime.cjs";

const TEXTS: [(&str, &str); 2] =
    [(PYTHON, include_str!("shims/runtime.py")), (NODE, include_str!("shims/runtime.cjs"))];

/// Writes the shims into `dir`.
pub(crate) fn write(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, text) in TEXTS {
        let path = dir.join(name);
        if std::fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        let fresh = dir.join(format!("{name}.new"));
        std::fs::write(&fresh, text)?;
        std::fs::rename(fresh, path)?;
    }
    Ok(())
}
