//! Nothing outlives us: every process of a function carries a mark in its environment, and what carries
//! it is ended when its process ends, when we end, and when we start again.
//!
//! The first process of a function is told of our death by the kernel. What it forked is not: for that a
//! warden stands by, a shell that waits until our end of its pipe closes, however that happens, and then
//! ends all that carry our mark.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Environment variable that names the host and the process that something belongs to.
pub(crate) const MARK: &str = "BOURN_FUNCTION_PROCESS";

const SCRIPT: &str = r#"
trap '' INT TERM HUP
while read -r _; do :; done
for round in 1 2 3; do
  found=$(grep -lF -- "$1" /proc/[0-9]*/environ 2>/dev/null)
  [ -n "$found" ] || exit 0
  for file in $found; do pid=${file#/proc/}; kill -9 "${pid%/environ}" 2>/dev/null; done
done
"#;

/// Rounds of looking for what forks while it is being ended.
const ROUNDS_MAX: usize = 10;

/// The mark of all processes of the host that owns `dir`. The same at every start, so that what an
/// earlier run left behind is known.
pub(crate) fn host_mark(dir: &Path) -> String {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf()).hash(&mut hasher);
    format!("{:016x}.", hasher.finish())
}

/// Waits for our end.
pub(crate) struct Warden(Child);

impl Warden {
    pub fn start(host_mark: &str) -> io::Result<Self> {
        use std::os::unix::process::CommandExt;
        let child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "bourn-functions-warden", &format!("{MARK}={host_mark}")])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }

    /// Lets it look for what is left, and waits for it.
    pub fn dismiss(mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Ends everything that carries a mark: a host's, or one process's. Reads `/proc`, so it takes a few
/// milliseconds; where there is no `/proc`, it finds nothing.
pub(crate) fn sweep(mark: &str) {
    for _ in 0..ROUNDS_MAX {
        let found = marked(mark);
        if found.is_empty() {
            return;
        }
        for pid in found {
            kill(pid, libc::SIGKILL);
        }
    }
}

/// The processes that carry a mark.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let ourselves = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != ourselves)
        .filter(|pid| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(wanted.as_bytes()))
        })
        .collect()
}

/// Ends a process and its group.
pub(crate) fn kill_group(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: a system call without memory.
        unsafe { libc::kill(-pid, signal) };
    }
}

fn kill(pid: u32, signal: i32) {
    if let Ok(pid) = i32::try_from(pid) {
        // SAFETY: as above.
        unsafe { libc::kill(pid, signal) };
    }
}
