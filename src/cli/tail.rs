//! `bourn tail`.

use super::{Context, Outcome, load};
use crate::layout::{Layout, LogKind};
use crate::originals::lines;
use crate::reading;
use crate::stream::open_reader;
use anyhow::Result;
use bourn_event::Offset;
use bourn_queue::Item;
use clap::Args;
use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

/// How often the log's end is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

#[derive(Args)]
#[command(after_help = "Examples:
  bourn tail flights
  bourn tail flights -n 100 --no-follow | jq .carrier
  bourn tail flights --rejects")]
pub struct Tail {
    /// The stream.
    stream: String,
    /// How many of the newest events to begin with.
    #[arg(short = 'n', long, default_value_t = 10)]
    lines: u64,
    /// Print those and exit.
    #[arg(long)]
    no_follow: bool,
    /// The stream's rejects instead.
    #[arg(long)]
    rejects: bool,
}

impl Tail {
    pub fn run(self, context: &Context) -> Outcome {
        let loaded = load(context)?;
        if !loaded.pipeline.streams.contains_key(&self.stream) {
            return Err(reading::unknown_stream(loaded.pipeline.streams.keys(), &self.stream).into());
        }
        let layout = Layout::of(&loaded);
        let kind = if self.rejects { LogKind::Rejects } else { LogKind::Events };
        let mut next = None;
        loop {
            let end = self.print(&layout, kind, next)?;
            if self.no_follow {
                return Ok(());
            }
            next = Some(end);
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Prints from `next`, or the newest lines; gives the log's end.
    fn print(&self, layout: &Layout, kind: LogKind, next: Option<Offset>) -> Result<Offset> {
        if !layout.log(&self.stream, kind).exists() {
            return Ok(0);
        }
        let reader = open_reader(layout, &self.stream, kind)?;
        let end = reader.end();
        let from = next.unwrap_or_else(|| end.saturating_sub(self.lines));
        let keep = if next.is_none() { self.lines as usize } else { usize::MAX };
        let mut newest = VecDeque::new();
        for item in reader.frames(from, end) {
            let Item::Events(delivery) = item? else { continue };
            let payload = delivery.payload.unwrap_or_default();
            for (index, line) in lines(&payload).into_iter().enumerate() {
                if delivery.first_offset + index as Offset >= from {
                    newest.push_back(line);
                }
                if newest.len() > keep {
                    newest.pop_front();
                }
            }
        }
        let mut out = std::io::stdout().lock();
        for line in newest {
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        out.flush()?;
        Ok(end)
    }
}
