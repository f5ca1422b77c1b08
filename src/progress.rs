//! Progress bars on long work: on a terminal only, on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// A bar that counts events, or one that draws nothing where nobody looks.
pub fn events(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {wide_bar} {human_pos}/{human_len} events {per_sec} {eta}")
}

/// A bar that counts bytes.
pub fn bytes(total: u64, what: &str) -> ProgressBar {
    bar(total, what, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

fn bar(total: u64, what: &str, style: &str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr_with_hz(10),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(total), target);
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar.set_message(what.to_string());
    bar
}
