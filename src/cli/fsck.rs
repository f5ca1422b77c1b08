//! `bourn fsck`.

use super::{Context, Json, Outcome, Stop, load};
use crate::layout::{Layout, LogKind};
use crate::reading;
use clap::Args;
use serde_json::{Map, json};

#[derive(Args)]
#[command(after_help = "Examples:
  bourn fsck
  bourn fsck flights --json")]
pub struct Fsck {
    /// The stream; all if absent.
    stream: Option<String>,
    #[command(flatten)]
    json: Json,
}

impl Fsck {
    pub fn run(self, context: &Context) -> Outcome {
        let loaded = load(context)?;
        let layout = Layout::of(&loaded);
        if let Some(only) = self.stream.as_ref().filter(|only| !loaded.pipeline.streams.contains_key(*only)) {
            return Err(reading::unknown_stream(loaded.pipeline.streams.keys(), only).into());
        }
        let (mut reports, mut is_sound) = (Map::new(), true);
        for stream in loaded.pipeline.streams.keys() {
            if self.stream.as_ref().is_some_and(|only| only != stream) {
                continue;
            }
            for kind in LogKind::ALL.into_iter().filter(|kind| layout.log(stream, *kind).exists()) {
                let report = bourn_queue::fsck(&layout.log(stream, kind), &layout.sealed(stream, kind))?;
                is_sound &= report.is_clean();
                if !self.json.json {
                    print(&format!("{stream}/{}", kind.name()), &report);
                }
                reports.insert(format!("{stream}/{}", kind.name()), serde_json::to_value(&report)?);
            }
        }
        if self.json.json {
            println!("{}", json!({"sound": is_sound, "logs": reports}));
        }
        if is_sound { Ok(()) } else { Err(Stop::Differs) }
    }
}

fn print(log: &str, report: &bourn_queue::FsckReport) {
    println!(
        "{log}: {} events in {} frames of {} segments, up to offset {}",
        report.events,
        report.frames,
        report.segments.len(),
        report.end
    );
    for problem in &report.problems {
        println!("  {} at byte {}: {}", problem.path.display(), problem.at, problem.what);
    }
    for hole in &report.holes {
        println!("  offsets {} to {} cannot be read: {}", hole.from, hole.to, hole.why);
    }
    for file in &report.torn_files {
        println!("  {} keeps the bytes of an unfinished write", file.display());
    }
}
