//! The house rules that a machine can check. Each ban names what to do instead.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 640;

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_source_file_says_what_it_owns_and_fits_a_room() {
    let mut files = Vec::new();
    sources(Path::new("."), &mut files);
    assert!(!files.is_empty(), "this runs in the repository's folder");
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a source file");
        let name = file.display();
        if !text.starts_with("//!") && !text.starts_with("#![no_main]") {
            faults.push(format!("{name} does not open with `//!`: say what the file owns"));
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            faults.push(format!("{name} has {lines} lines: split it where its reasons to change differ"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_code_map_names_every_crate_and_nothing_that_is_not_there() {
    let text = std::fs::read_to_string("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let rows = text.lines().skip_while(|line| *line != "## Code map").take_while(|line| *line != "## Arrows");
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.strip_prefix("| `")?.split(" | ").next())
        .flat_map(|cell| cell.split(['`', ',', ' ']))
        .filter(|path| !path.is_empty())
        .map(str::to_string)
        .collect();
    let missing: Vec<_> = named.iter().filter(|path| !Path::new(path).exists()).collect();
    assert!(missing.is_empty(), "the code map names {missing:?}, which is not there");
    for entry in std::fs::read_dir("crates").expect("crates").flatten() {
        let path = format!("crates/{}", entry.file_name().to_string_lossy());
        assert!(named.contains(&path), "the code map does not say what {path} owns");
    }
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let text = std::fs::read_to_string("ARCHITECTURE.md").expect("ARCHITECTURE.md");
    let mut allowed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().skip_while(|line| *line != "<!-- arrows -->").skip(1) {
        if line == "<!-- /arrows -->" {
            break;
        }
        if let Some((from, to)) = line.trim_start_matches(['-', '*', ' ']).split_once('→') {
            let name = |text: &str| text.trim().trim_matches('`').to_string();
            let to = to.split(',').map(name).filter(|name| !name.is_empty() && name != "nothing");
            allowed.insert(name(from), to.collect());
        }
    }
    assert!(!allowed.is_empty(), "ARCHITECTURE.md has no list of arrows between <!-- arrows --> marks");
    for entry in std::fs::read_dir("crates").expect("crates").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let manifest = std::fs::read_to_string(entry.path().join("Cargo.toml")).unwrap_or_default();
        let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
        let imports: BTreeSet<String> = normal
            .lines()
            .filter_map(|line| line.strip_prefix("bourn-")?.split(['.', ' ', '=']).next())
            .map(str::to_string)
            .collect();
        let allowed =
            allowed.get(&name).unwrap_or_else(|| panic!("ARCHITECTURE.md does not name crate {name}"));
        let surplus: Vec<_> = imports.difference(allowed).collect();
        assert!(surplus.is_empty(), "crate {name} imports {surplus:?}: join them in the root instead");
    }
}
