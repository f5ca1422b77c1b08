//! Child processes under measurement, what they cost, and the bare server to compare with.

use anyhow::{Context, Result, bail};
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server that runs as its own process.
pub struct Server {
    child: Child,
    pub http: String,
    /// From start to the line that says it serves.
    pub started_in: Duration,
}

impl Server {
    /// Starts this binary with `args` and waits for its `ready http=…` line.
    pub fn start(args: &[&str]) -> Result<Self> {
        let begun = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the server")?;
        let output = child.stdout.take().context("the server has no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let started_in = begun.elapsed();
        let http = line.split_whitespace().find_map(|word| word.strip_prefix("http="));
        match http {
            Some(http) => Ok(Self { http: http.to_string(), child, started_in }),
            None => {
                let _ = child.kill();
                bail!("the server did not say that it is ready")
            }
        }
    }

    /// User and system time of the process so far.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields.iter().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        // SAFETY: sysconf only reads a constant of the system.
        let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
        Ok(Duration::from_micros(ticks * 1_000_000 / ticks_per_second))
    }

    /// Largest resident set so far, in bytes.
    pub fn rss_peak_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// Asks it to drain and waits until it ended.
    pub fn stop(mut self) -> Result<()> {
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes of all files below a folder.
pub fn bytes_on_disk(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes_on_disk(&entry.path()),
            Ok(meta) => std::os::unix::fs::MetadataExt::blocks(&meta) * 512,
            Err(_) => 0,
        })
        .sum()
}

/// A server that reads each body and answers, and does nothing else: what HTTP itself costs here.
pub async fn bare_server() -> Result<()> {
    use http_body_util::{BodyExt, Full};
    use hyper::{Request, Response, body::Incoming, service::service_fn};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http={}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        let _ = socket.set_nodelay(true);
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async move {
                let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
                let body = Full::new(bytes::Bytes::from(format!("{{\"accepted\":{length}}}")));
                Ok::<_, Infallible>(Response::new(body))
            });
            let io = hyper_util::rt::TokioIo::new(socket);
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        });
    }
}
