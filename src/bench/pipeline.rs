//! The pipeline that is measured: the click event, one lookup, one transform, deduplication.

use anyhow::Result;
use bourn_event::click;
use std::path::Path;

const DEFINITION: &str = "\
name: bench
streams:
  clicks:
    schema: schemas/click.json
    sources:
      - http: {}
    dedupe: {key: event_id, window: 24h}
    enrich:
      - lookup: {table: countries, on: country, take: [region]}
    transform: transforms/clicks.sql
lookups:
  countries: {file: lookups/countries.csv, key: code}
";

const TRANSFORM: &str = "\
select event_id, event_type, user_id, session_id, occurred_at, page, product_id, quantity, price,
       quantity * price as amount, currency, country, region, device, tags
from events
";

const COUNTRIES: &str =
    "code,region\nDE,Europe\nFR,Europe\nUS,America\nBR,America\nJP,Asia\nIN,Asia\nNG,Africa\n";

/// What is added to the definition so that every event goes through a function.
pub fn echo_functions() -> (&'static str, &'static str) {
    (
        "    transform:",
        "      - function: {name: echo0, take: {echoed: {type: text, from: /event/event_id}}}\n    transform:",
    )
}

/// A pipeline with `count` functions that give back what they get: this binary, told to be one.
pub fn prepare_echo(dir: &Path, count: usize) -> Result<()> {
    prepare(dir)?;
    add_functions(dir, count)
}

/// Writes the functions, and their settings behind the definition; if it has workflows, theirs too, for a
/// large Map has a long history.
pub fn add_functions(dir: &Path, count: usize) -> Result<()> {
    let mut definition = std::fs::read_to_string(dir.join("bourn.yaml"))?;
    if dir.join("workflows").exists() {
        definition.push_str(
            "workflows:\n  map: {max_events: 1000000, max_payload: 16MiB}\n  express: {type: express}\n",
        );
    }
    definition.push_str("functions:\n");
    for index in 0..count {
        let folder = dir.join(format!("functions/echo{index}"));
        std::fs::create_dir_all(&folder)?;
        let bootstrap = folder.join("bootstrap");
        let binary = std::env::current_exe()?;
        std::fs::write(&bootstrap, format!("#!/bin/sh\nexec '{}' bench echo-function\n", binary.display()))?;
        std::fs::set_permissions(&bootstrap, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        definition.push_str(&format!(
            "  echo{index}: {{runtime: provided, memory: 1GiB, concurrency: {{max: 32}}}}\n"
        ));
    }
    Ok(std::fs::write(dir.join("bourn.yaml"), definition)?)
}

/// Writes the pipeline's folder.
pub fn prepare(dir: &Path) -> Result<()> {
    for folder in ["schemas", "transforms", "lookups"] {
        std::fs::create_dir_all(dir.join(folder))?;
    }
    std::fs::write(dir.join("bourn.yaml"), DEFINITION)?;
    std::fs::write(dir.join("schemas/click.json"), click::SCHEMA)?;
    std::fs::write(dir.join("transforms/clicks.sql"), TRANSFORM)?;
    std::fs::write(dir.join("lookups/countries.csv"), COUNTRIES)?;
    Ok(())
}
