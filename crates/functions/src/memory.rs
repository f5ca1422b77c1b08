//! How much memory a process and what it forked hold, from `/proc`.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most processes of one function process that are counted.
const MEMBERS_MAX: usize = 1024;

/// A process's own memory, read often: its file stays open.
pub(crate) struct Gauge {
    statm: Option<File>,
    pid: u32,
    page: u64,
}

impl Gauge {
    pub fn new(pid: u32) -> Self {
        // SAFETY: asks for a constant of the system.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let statm = File::open(format!("/proc/{pid}/statm")).ok();
        Self { statm, pid, page: u64::try_from(page).unwrap_or(4096) }
    }

    /// Resident bytes of the process alone; 0 once it is gone.
    pub fn resident(&self) -> u64 {
        let mut buffer = [0; 128];
        let Some(length) = self.statm.as_ref().and_then(|file| file.read_at(&mut buffer, 0).ok()) else {
            return 0;
        };
        pages(&buffer[..length]) * self.page
    }

    /// Resident bytes of the process and all below it. What forked processes share is counted once where
    /// that decides about `limit`.
    pub fn resident_tree(&self, limit: u64) -> u64 {
        let below = descendants(self.pid);
        if below.is_empty() {
            return self.resident();
        }
        let sum: u64 = below.iter().map(|pid| Gauge::new(*pid).resident()).sum();
        let sum = sum + self.resident();
        if sum <= limit {
            return sum;
        }
        let all = below.into_iter().chain([self.pid]);
        all.map(|pid| proportional(pid).unwrap_or_else(|| Gauge::new(pid).resident())).sum()
    }
}

fn pages(statm: &[u8]) -> u64 {
    let text = std::str::from_utf8(statm).unwrap_or_default();
    text.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// What the process holds, its share of what it shares.
fn proportional(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_ascii_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let mut open = vec![pid];
    while let Some(next) = open.pop() {
        for child in children(next) {
            if found.len() < MEMBERS_MAX {
                found.push(child);
                open.push(child);
            }
        }
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let texts = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    texts.flat_map(|text| parse(&text)).collect()
}

fn parse(text: &str) -> Vec<u32> {
    text.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_seen() {
        let gauge = Gauge::new(std::process::id());
        assert!(gauge.resident() > 100_000, "{}", gauge.resident());
        assert!(gauge.resident_tree(0) > 100_000);
    }

    #[test]
    fn pages_are_the_second_field() {
        assert_eq!(pages(b"5000 123 60 7 0 80 0\n"), 123);
        assert_eq!(pages(b""), 0);
    }
}
