//! Looks at a running pipeline from outside: answers in full, its memory, and disks that are small.

use crate::support::Folder;
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    /// The last answer in what a connection sent; `None` if there is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let start = text.rfind("HTTP/1.1 ")?;
        let (head, body) = text[start..].split_once("\r\n\r\n")?;
        let status = head.get(9..12)?.parse().ok()?;
        Some(Self { status, head: head.to_ascii_lowercase(), body: body.to_string() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// Writes bytes as far as the server takes them; what it sent until it closed.
pub fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let begun = Instant::now();
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
    let mut reader = socket.try_clone().expect("a socket");
    let mut answer = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // A server that has answered may close before it took everything.
            let _ = socket.write_all(bytes);
            if !bytes.ends_with(b"\r\n\r\n") && !bytes.starts_with(b"POST") && !bytes.starts_with(b"GET") {
                let _ = socket.shutdown(Shutdown::Write);
            }
        });
        let mut buffer = [0; 64 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend(&buffer[..read]),
                // A process that was stopped and goes on: a read with a timeout is not taken up by itself.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    println!("{address}: {error} after {:?} and {} bytes", begun.elapsed(), answer.len());
                    break;
                }
            }
        }
    });
    answer
}

/// One request; its answer.
pub fn request(address: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    if !body.is_empty() {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    let answer = exchange(address, &bytes);
    Answer::read(&answer)
        .unwrap_or_else(|| panic!("{method} {path}: no answer but {:?}", String::from_utf8_lossy(&answer)))
}

pub fn get(address: &str, path: &str) -> Answer {
    request(address, "GET", path, &[], b"")
}

/// Posts lines to a stream.
pub fn send(address: &str, stream: &str, lines: &[u8]) -> Answer {
    let headers = [("content-type", "application/x-ndjson")];
    request(address, "POST", &format!("/v1/streams/{stream}"), &headers, lines)
}

/// One event of the stream `orders`.
pub fn order(id: impl std::fmt::Display) -> String {
    format!("{{\"order_id\":\"{id}\",\"sku\":\"A\",\"quantity\":1}}\n")
}

/// The most memory that a process has had, in bytes.
pub fn memory_peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

/// Lets this process, and those it starts, open so many files: how many they may.
pub fn raise_open_files(count: usize) -> usize {
    let (pid, limit) = (std::process::id().to_string(), format!("--nofile={count}:"));
    // Where the system has a lower limit, it stays as it is.
    let _ = Command::new("prlimit").args(["--pid", &pid, &limit]).output();
    let limits = std::fs::read_to_string("/proc/self/limits").expect("a process on Linux");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the limit");
    line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX)
}

/// Every file below a folder, with its bytes.
pub fn content(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(content(&path)),
            false => found.push((path.clone(), std::fs::read(&path).expect("a file"))),
        }
    }
    found.sort();
    found
}

/// The files below a folder whose name ends so.
pub fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let named = |path: &PathBuf| path.to_string_lossy().ends_with(ending);
    content(dir).into_iter().map(|(path, _)| path).filter(named).collect()
}

/// Runs a verb that must fail; its exit code and what it said on both outputs.
pub fn refused(folder: &Folder, args: &[&str]) -> (i32, String) {
    let output = folder.bourn(args);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!output.status.success(), "bourn {args:?} went through:\n{said}");
    assert!(!said.contains("panicked"), "bourn {args:?}:\n{said}");
    (output.status.code().unwrap_or(-1), said)
}

/// A file system of its own, with little room; unmounted with the value.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None`, with the reason printed, where this process may not mount.
    pub fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a folder");
        let size = format!("size={megabytes}m");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self { at: at.to_path_buf() }),
            Ok(output) => {
                println!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: cannot mount: {error}");
                None
            }
        }
    }

    fn balloon(&self) -> PathBuf {
        self.at.join("balloon")
    }

    /// Takes all room that is left.
    pub fn fill(&self) {
        let options = std::fs::OpenOptions::new().append(true).create(true).open(self.balloon());
        let mut file = options.expect("a file");
        let mut size = 1 << 20;
        while size > 0 {
            if file.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
    }

    /// Gives the room back.
    pub fn free(&self) {
        std::fs::remove_file(self.balloon()).expect("a balloon");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
