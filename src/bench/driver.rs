//! The load: HTTP/1.1 over plain sockets, with as little work as a client can do.

use anyhow::{Context, Result, bail};
use bytes::Buf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests to send.
#[derive(Clone)]
pub struct Load {
    /// Bodies, sent in this order.
    pub bodies: Arc<Vec<Vec<u8>>>,
    pub connections: usize,
    /// Requests a second in all; as fast as it goes if `None`.
    pub rate: Option<f64>,
    pub path: String,
    /// Every how many requests one asks to be visible before it is answered; 0 for none.
    pub visible_every: usize,
}

/// What the client saw.
#[derive(Default)]
pub struct Seen {
    pub elapsed: Duration,
    /// From sending (or from when it should have been sent, at a fixed rate) to the answer.
    pub ack: Vec<Duration>,
    pub visible: Vec<Duration>,
}

/// Sends everything once. Answers other than 200 and 422 are failures; 429 is waited for.
pub async fn drive(address: &str, load: &Load) -> Result<Seen> {
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..load.connections {
        let connection = Connection {
            address: address.to_string(),
            path: load.path.clone(),
            bodies: load.bodies.clone(),
            next: next.clone(),
            begun,
            interval: load.rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            visible_every: load.visible_every,
        };
        tasks.spawn(connection.run());
    }
    let mut seen = Seen::default();
    while let Some(ended) = tasks.join_next().await {
        let part = ended??;
        seen.ack.extend(part.ack);
        seen.visible.extend(part.visible);
    }
    seen.elapsed = begun.elapsed();
    Ok(seen)
}

struct Connection {
    address: String,
    path: String,
    bodies: Arc<Vec<Vec<u8>>>,
    next: Arc<AtomicUsize>,
    begun: Instant,
    interval: Option<Duration>,
    visible_every: usize,
}

impl Connection {
    async fn run(self) -> Result<Seen> {
        let mut socket = TcpStream::connect(&self.address).await.context("cannot connect")?;
        socket.set_nodelay(true)?;
        let (mut seen, mut answer, mut head) = (Seen::default(), Vec::new(), Vec::new());
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(body) = self.bodies.get(index) else { return Ok(seen) };
            let mut due = Instant::now();
            if let Some(interval) = self.interval {
                due = self.begun + interval.mul_f64(index as f64);
                tokio::time::sleep_until(due.into()).await;
            }
            let is_visible = self.visible_every > 0 && index.is_multiple_of(self.visible_every);
            let ack = if is_visible { "?ack=visible" } else { "" };
            head.clear();
            head.extend_from_slice(
                format!(
                    "POST {}{ack} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-ndjson\r\n\
                     content-length: {}\r\n\r\n",
                    self.path,
                    body.len()
                )
                .as_bytes(),
            );
            loop {
                // In one go, as any client does whose body is at hand.
                socket.write_all_buf(&mut Buf::chain(&head[..], &body[..])).await?;
                match read_answer(&mut socket, &mut answer).await? {
                    200 | 422 => break,
                    429 => tokio::time::sleep(Duration::from_millis(20)).await,
                    status => bail!("the server answered {status}: {}", String::from_utf8_lossy(&answer)),
                }
            }
            let took = due.elapsed();
            if is_visible { seen.visible.push(took) } else { seen.ack.push(took) }
        }
    }
}

async fn read_answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Result<u16> {
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end])?;
        let status = head.get(9..12).and_then(|text| text.parse().ok()).context("no status")?;
        let length: usize = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.trim().parse().ok())
            .unwrap_or(0);
        while buffer.len() < end + 4 + length {
            if socket.read_buf(buffer).await? == 0 {
                bail!("the server closed the connection");
            }
        }
        return Ok(status);
    }
}

/// The value below which `share` (0 to 1) of the sample lies, in milliseconds.
pub fn percentile_ms(sample: &mut [Duration], share: f64) -> f64 {
    if sample.is_empty() {
        return 0.0;
    }
    sample.sort_unstable();
    let index = ((sample.len() - 1) as f64 * share).round() as usize;
    sample[index].as_secs_f64() * 1e3
}
