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
