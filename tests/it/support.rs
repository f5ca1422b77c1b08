//! A pipeline folder and the processes that run on it.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A pipeline that takes orders: small, with every stage.
pub const ORDERS: &str = "\
name: shop
streams:
  orders:
    schema: schemas/order.json
    sources:
      - http: {}
      - files: {path: inbox/*.jsonl*}
    dedupe: {key: order_id, window: 24h}
    enrich:
      - lookup: {table: products, on: sku, take: [category]}
    transform: transforms/orders.sql
    commit: {every: 200ms, bytes: 1MB}
lookups:
  products: {file: lookups/products.csv, key: sku}
";

pub const ORDER_SCHEMA: &str = r#"{
  "type": "object",
  "required": ["order_id", "sku", "quantity"],
  "properties": {
    "order_id": {"type": "string"},
    "sku": {"type": "string"},
    "quantity": {"type": "integer", "minimum": 1}
  }
}"#;

pub const ORDERS_SQL: &str = "select order_id, sku, category, quantity, 100 / (quantity - 13) as share from events where sku <> 'test'\n";

pub const PRODUCTS: &str = "sku,category\nA,tea\nB,cups\n";

/// A pipeline folder that is deleted with the value.
pub struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    /// An empty one.
    pub fn empty() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The orders pipeline.
    pub fn orders() -> Self {
        let folder = Self::empty();
        folder.write("bourn.yaml", ORDERS);
        folder.write("schemas/order.json", ORDER_SCHEMA);
        folder.write("transforms/orders.sql", ORDERS_SQL);
        folder.write("lookups/products.csv", PRODUCTS);
        folder
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn join(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().expect("a file in a folder")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }

    /// Runs a verb to its end.
    pub fn bourn(&self, args: &[&str]) -> Output {
        bourn().arg("--dir").arg(self.path()).args(args).output().expect("the binary runs")
    }

    /// Runs a verb that must succeed; its standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.bourn(args);
        assert!(
            output.status.success(),
            "bourn {args:?} failed with {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(args);
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("bourn {args:?} printed no JSON: {error}\n{text}"))
    }

    /// The rows of a statement.
    pub fn sql(&self, statement: &str) -> Vec<Value> {
        self.json(&["sql", statement, "--format", "json"]).as_array().expect("an array").clone()
    }

    /// One number.
    pub fn number(&self, statement: &str) -> u64 {
        let rows = self.sql(statement);
        let row = rows.first().and_then(Value::as_object).expect("a row");
        row.values().next().and_then(Value::as_u64).unwrap_or_else(|| panic!("{statement} gave {row:?}"))
    }

    /// Fails unless the ledger is proven.
    pub fn prove(&self) {
        let output = self.bourn(&["ledger", "--prove"]);
        assert!(
            output.status.success(),
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    pub fn start(&self) -> Running {
        Running::start(self.path(), &[])
    }
}

/// The binary under test.
pub fn bourn() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bourn"));
    command.stdin(Stdio::null()).env_remove("BOURN_LOG");
    command
}

/// A pipeline's process; killed with the value.
pub struct Running {
    child: Child,
    pub http: String,
}

impl Running {
    pub fn start(dir: &Path, more: &[&str]) -> Self {
        let mut child = bourn()
            .arg("--dir")
            .arg(dir)
            .args(["run", "--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let word =
            |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_string);
        let (Some(http), Some(_)) = (word("http="), word("pg=")) else {
            let status = child.wait();
            panic!("no ready line but {line:?}; {status:?}");
        };
        Self { child, http }
    }

    /// Posts a body; status and answer.
    pub fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, Value) {
        post(&self.http, path, headers, body).expect("an answer")
    }

    /// Sends events that must be accepted whole or in part.
    pub fn send(&self, stream: &str, body: &str) -> Value {
        let headers = [("content-type", "application/x-ndjson")];
        let (status, answer) =
            self.post(&format!("/v1/streams/{stream}?ack=visible"), &headers, body.as_bytes());
        assert_eq!(status, 200, "{answer}");
        answer
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("a living process");
        self.child.wait().expect("an end");
    }

    /// Asks it to drain; its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        assert!(status.success());
        self.child.wait().expect("an end").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One request over a connection of its own. An error is a connection that broke, as it does when
/// the server is killed.
pub fn post(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<(u16, Value)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes())?;
    socket.write_all(body)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let broken = || std::io::Error::other("a broken answer");
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    Ok((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

/// Asks again until it holds; panics after a minute.
pub fn eventually(what: &str, holds: impl FnMut() -> bool) {
    within(Duration::from_secs(60), what, holds);
}

/// Asks again until it holds; panics when it takes longer than that.
pub fn within(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < limit, "waited {limit:?} for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A small generator for tests: the same seed gives the same run.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
