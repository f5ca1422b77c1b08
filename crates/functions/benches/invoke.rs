//! What the host adds to an invocation: warm, cold, and many at once, with the echo of this crate.
//!
//! `cargo bench -p bourn-functions`. The echo is this very program, started as a function's `bootstrap`.

use bourn_config::Function;
use bourn_event::{Functions, Invocation, SystemClock};
use bourn_functions::{Host, Settings};
use bourn_state::State;
use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const WARM: usize = 20_000;
const COLD: usize = 50;
const ABREAST: usize = 8;

fn main() {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_some() {
        // The host ends it; that its connection breaks then is no news.
        let _ = bourn_functions::echo();
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut functions = BTreeMap::new();
    for name in ["warm", "cold", "abreast"] {
        let folder = dir.path().join("functions").join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        symlink(std::env::current_exe().expect("this program"), folder.join("bootstrap")).expect("a link");
        let settings = serde_json::json!({"runtime": "provided", "concurrency": {"max": ABREAST * 100}});
        functions.insert(name.to_owned(), serde_json::from_value::<Function>(settings).expect("settings"));
    }
    let state = State::open(dir.path().join("state")).expect("a state");
    let settings = Settings::new(dir.path(), dir.path().join("functions-state"));
    let host = Host::open(&functions, settings, state, Arc::new(SystemClock)).expect("a host");
    warm(&host).await;
    cold(&host, dir.path()).await;
    abreast(&host).await;
    host.close(Duration::ZERO).await;
}

async fn once(host: &Host, function: &str) -> Duration {
    let payload = r#"{"event":"echo"}"#.into();
    let call = Invocation { function: function.to_owned(), payload, ..Invocation::default() };
    let began = Instant::now();
    host.invoke(call).await.expect("an answer");
    began.elapsed()
}

async fn warm(host: &Host) {
    once(host, "warm").await;
    let mut times = Vec::new();
    for _ in 0..WARM {
        times.push(once(host, "warm").await);
    }
    tell("warm, one after another", times);
}

async fn cold(host: &Host, dir: &Path) {
    let mut times = Vec::new();
    for _ in 0..COLD {
        times.push(once(host, "cold").await);
        // Its code changes, so that the next call finds no process.
        let folder = dir.join("functions/cold");
        std::fs::write(folder.join("version"), times.len().to_string()).expect("written");
        while host.functions().iter().any(|row| row.name == "cold" && row.processes > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    tell("cold", times);
    let mut own = Vec::new();
    for _ in 0..COLD {
        let began = Instant::now();
        let program = std::env::current_exe().expect("this program");
        // Without a host to talk to it ends as soon as it has started.
        let api = "127.0.0.1:9";
        std::process::Command::new(program).env("AWS_LAMBDA_RUNTIME_API", api).output().expect("it runs");
        own.push(began.elapsed());
    }
    tell("the program alone, start to end", own);
}

async fn abreast(host: &Arc<Host>) {
    let began = Instant::now();
    let tasks: Vec<_> = (0..ABREAST)
        .map(|_| {
            let host = host.clone();
            tokio::spawn(async move {
                let mut times = Vec::new();
                for _ in 0..WARM / ABREAST {
                    times.push(once(&host, "abreast").await);
                }
                times
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("joined"));
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    tell(&format!("{ABREAST} at once, {rate:.0} invocations/s"), times);
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_secs_f64() * 1000.0;
    println!("{what}: p50 {:.3} ms, p99 {:.3} ms, max {:.3} ms", at(0.5), at(0.99), at(1.0));
}
