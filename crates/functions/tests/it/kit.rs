//! A host with small functions, and waiting for things to become true.

use bourn_config::{ByteSize, Concurrency, Function, Runtime, Span};
use bourn_event::{
    Functions, Invocation, InvokeError, Invoked, SendError, Sending, Sent, Streams, SystemClock,
};
use bourn_functions::{Host, InvocationRow, Settings};
use bourn_state::State;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Conditions that are waited for must come true within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// A pipeline's folder with functions that are not open yet.
pub struct Kit {
    pub dir: TempDir,
    pub functions: BTreeMap<String, Function>,
}

impl Kit {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a folder"), functions: BTreeMap::new() }
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join("functions").join(name)
    }

    pub fn write(&self, name: &str, file: &str, text: &str) {
        write_file(&self.folder(name).join(file), text);
    }

    /// A `provided` function whose `bootstrap` is this Python program, with [`CLIENT`] before it.
    pub fn raw(mut self, name: &str, program: &str) -> Self {
        let text = format!("#!{}\n{CLIENT}\n{program}", python().display());
        self.write(name, "bootstrap", &text);
        self.functions.insert(name.to_owned(), function(Runtime::Provided, None));
        self
    }

    /// A `provided` function whose `bootstrap` is this shell script.
    pub fn shell(mut self, name: &str, script: &str) -> Self {
        self.write(name, "bootstrap", &format!("#!/bin/sh\n{script}\n"));
        self.functions.insert(name.to_owned(), function(Runtime::Provided, None));
        self
    }

    /// A Python function with `main` in `handler.py`.
    pub fn python(mut self, name: &str, program: &str) -> Self {
        self.write(name, "handler.py", program);
        self.functions.insert(name.to_owned(), function(Runtime::Python3, Some("handler.main")));
        self
    }

    /// A Node.js function with `main` in `index.js`.
    pub fn node(mut self, name: &str, program: &str) -> Self {
        self.write(name, "index.js", program);
        self.functions.insert(name.to_owned(), function(Runtime::Nodejs, Some("index.main")));
        self
    }

    /// Changes the settings of the function that was added last by name.
    pub fn with(mut self, name: &str, change: impl FnOnce(&mut Function)) -> Self {
        change(self.functions.get_mut(name).expect("a function"));
        self
    }

    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new(self.dir.path(), self.dir.path().join("state/functions"));
        settings.retry_delays = [Duration::from_millis(20), Duration::from_millis(40)];
        settings.throttle_delays = (Duration::from_millis(20), Duration::from_millis(100));
        settings.watch_every = Duration::from_millis(20);
        settings
    }

    pub fn state(&self) -> State {
        State::open(self.dir.path().join("state/db")).expect("a state")
    }

    pub fn open(&self) -> Arc<Host> {
        self.open_with(self.settings())
    }

    pub fn open_with(&self, settings: Settings) -> Arc<Host> {
        Host::open(&self.functions, settings, self.state(), Arc::new(SystemClock)).expect("a host")
    }
}

/// A function of these tests: room enough for a slow machine.
pub fn function(runtime: Runtime, handler: Option<&str>) -> Function {
    Function {
        runtime,
        handler: handler.map(str::to_owned),
        code: None,
        memory: ByteSize::mib(256),
        timeout: Span::from_secs(30),
        concurrency: Concurrency::default(),
        environment: BTreeMap::from([("PATH".to_owned(), path())]),
        secrets: BTreeMap::new(),
        idle: Span::from_secs(300),
        retries: 2,
        max_age: Span::from_secs(3600),
        on_failure: None,
    }
}

pub fn write_file(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    let fresh = path.with_extension("fresh");
    std::fs::write(&fresh, text).expect("written");
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755)).expect("executable");
    std::fs::rename(fresh, path).expect("in place");
}

/// The interpreter itself: what is called `python3` may be a wrapper that takes longer than a test.
pub fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let ask = ["-c", "import sys; print(sys.executable)"];
        let output = std::process::Command::new("python3").args(ask).output().expect("python3");
        String::from_utf8(output.stdout).expect("a path").trim().into()
    })
}

fn path() -> String {
    let before = std::env::var("PATH").unwrap_or_default();
    format!("{}:{before}", python().parent().expect("a folder").display())
}

/// `next()`, `post(place, body, headers)` and `answer(id, value)` for functions that play the runtime.
const CLIENT: &str = r#"
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
BASE = "/2018-06-01/runtime"
def call(method, place, body=None, headers={}):
    api.request(method, BASE + place, body, headers)
    answer = api.getresponse()
    return answer.status, answer.headers, answer.read()
def next():
    status, headers, body = call("GET", "/invocation/next")
    return headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body), headers
def post(place, value, headers={}):
    status, _, body = call("POST", place, json.dumps(value), headers)
    return [status, json.loads(body).get("errorType")]
def answer(id, value):
    return post("/invocation/%s/response" % id, value)
"#;

/// An echo that is a `provided` function.
pub const ECHO: &str = "
while True:
    id, event, headers = next()
    answer(id, event)
";

pub fn call(function: &str, payload: &str) -> Invocation {
    Invocation {
        function: function.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        ..Invocation::default()
    }
}

pub async fn invoke(host: &Host, function: &str, payload: &str) -> Result<Invoked, InvokeError> {
    host.invoke(call(function, payload)).await
}

/// Invokes, and gives the answer's JSON if it is no error.
#[track_caller]
pub fn value(invoked: Result<Invoked, InvokeError>) -> Value {
    let invoked = invoked.expect("an answer");
    let text = String::from_utf8_lossy(&invoked.payload).into_owned();
    assert_eq!(invoked.error, None, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

/// The type and the message of an answer that is an error.
#[track_caller]
pub fn error(invoked: Result<Invoked, InvokeError>) -> (String, String) {
    let invoked = invoked.expect("an answer");
    let value: Value = serde_json::from_slice(&invoked.payload).expect("JSON");
    assert!(invoked.error.is_some(), "no error: {value}");
    let field = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    (field("errorType"), field("errorMessage"))
}

/// Waits until something is there.
#[track_caller]
pub fn eventually<T>(what: &str, mut test: impl FnMut() -> Option<T>) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = test() {
                return found;
            }
            assert!(Instant::now() < deadline, "{place}: {what} did not come true");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub async fn until(what: &str, mut test: impl FnMut() -> bool) {
    eventually(what, || test().then_some(())).await;
}

/// The rows of one function's invocations.
pub fn rows(host: &Host, function: &str) -> Vec<Arc<InvocationRow>> {
    host.invocations().into_iter().filter(|row| &*row.function == function).collect()
}

/// All lines of a function's log.
pub fn log(host: &Host, function: &str) -> String {
    host.logs(Some(function)).iter().map(|row| format!("{}\n", row.line)).collect()
}

/// Does a process live (and is not merely waited for)?
pub fn lives(pid: u64) -> bool {
    let Ok(text) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !text.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// Streams that remember what they got.
#[derive(Default)]
pub struct Taken {
    pub events: Mutex<Vec<(String, Value)>>,
    /// So many sendings fail first.
    pub refusals: Mutex<u32>,
}

#[async_trait::async_trait]
impl Streams for Taken {
    async fn send(&self, sending: Sending) -> Result<Sent, SendError> {
        let mut refusals = self.refusals.lock();
        if *refusals > 0 {
            *refusals -= 1;
            return Err(SendError::Unavailable { stream: sending.stream, why: "full".into() });
        }
        let mut events = self.events.lock();
        for event in &sending.events {
            events.push((sending.stream.clone(), serde_json::from_slice(event).expect("JSON")));
        }
        Ok(Sent { accepted: sending.events.len() as u64, ..Sent::default() })
    }

    fn names(&self) -> Vec<String> {
        vec!["failures".into()]
    }
}
