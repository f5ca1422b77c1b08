//! Functions that hang, leak, fork, flood, die and hang up: each is an error of one invocation, and the
//! next one finds a process that works.

use crate::kit::{Kit, call, error, eventually, invoke, lives, log, rows, until, value};
use bourn_config::{ByteSize, Span};
use bourn_event::{FunctionError, Functions, Invocation, InvokeError};
use serde_json::{Value, json};
use std::time::Duration;

/// Does what its event says, and echoes otherwise.
const UNRULY: &str = r#"
import os, signal, subprocess, sys, time

def main(event, context):
    what = event.get("do") if isinstance(event, dict) else None
    if what == "hang":
        time.sleep(3600)
    if what == "exit":
        os._exit(event["code"])
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "leak":
        kept = []
        while True:
            kept.append(bytearray(1 << 20))
    if what == "gulp":
        kept = bytearray(16 << 30)
    if what == "fork and leak":
        if os.fork() == 0:
            kept = []
            while True:
                kept.append(bytearray(1 << 20))
        time.sleep(3600)
    if what == "flood":
        line = "x" * 1023 + "\n"
        for _ in range(100 * 1024):
            sys.stdout.write(line)
        print("after the flood")
    if what in ("fork", "fork and hang"):
        plain = subprocess.Popen(["sleep", "3600"])
        other = subprocess.Popen(["sleep", "3600"], start_new_session=True)
        with open(event["file"] + ".new", "w") as file:
            file.write("%d %d %d" % (os.getpid(), plain.pid, other.pid))
        os.rename(event["file"] + ".new", event["file"])
        if what == "fork and hang":
            time.sleep(3600)
        if event.get("exit"):
            os._exit(1)
    return {"pid": os.getpid()}
"#;

fn unruly() -> Kit {
    Kit::new().python("f", UNRULY)
}

fn pid(value: &Value) -> u64 {
    value["pid"].as_u64().expect("a pid")
}

#[tokio::test]
async fn crash_is_an_error_of_one_invocation() {
    let kit = unruly();
    let host = kit.open();
    let first = value(invoke(&host, "f", "{}").await);
    let cases = [
        (r#"{"do": "exit", "code": 7}"#, "Runtime exited with error: exit status 7"),
        (r#"{"do": "exit", "code": 0}"#, "Runtime exited without providing a reason"),
        (r#"{"do": "kill"}"#, "Runtime exited with error: signal: killed"),
    ];
    for (event, expected) in cases {
        let invoked = invoke(&host, "f", event).await.expect("an answer");
        assert_eq!(invoked.error, Some(FunctionError::Unhandled));
        let (kind, message) = error(Ok(invoked.clone()));
        assert_eq!(kind, "Runtime.ExitError");
        assert_eq!(message, format!("RequestId: {} Error: {expected}", invoked.request_id));
        assert_ne!(first, value(invoke(&host, "f", "{}").await));
    }
}

#[tokio::test]
async fn hanging_function_is_ended_with_all_it_started() {
    let kit = unruly().with("f", |f| f.timeout = Span::parse("2s").expect("a span"));
    let host = kit.open();
    let file = kit.dir.path().join("pids");
    let event = json!({"do": "fork and hang", "file": file}).to_string();
    let (kind, message) = error(invoke(&host, "f", &event).await);
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Error: Task timed out after 2.00 seconds"), "{message}");
    let text = std::fs::read_to_string(&file).expect("pids");
    for pid in text.split(' ').map(|pid| pid.parse().expect("a pid")) {
        until("the process is gone", || !lives(pid)).await;
    }
    let row = eventually("its row", || rows(&host, "f").first().cloned()).await;
    assert_eq!(row.error.as_deref(), Some("Sandbox.Timedout"));
    assert!(row.duration_us >= 2_000_000);
    assert!(log(&host, "f").contains("Status: timeout"));
    value(invoke(&host, "f", "{}").await);
}

#[tokio::test]
async fn what_a_function_forked_ends_with_its_process() {
    let kit = unruly();
    let host = kit.open();
    for exit in [true, false] {
        let file = kit.dir.path().join(format!("pids-{exit}"));
        let event = json!({"do": "fork", "file": file, "exit": exit}).to_string();
        let invoked = invoke(&host, "f", &event).await.expect("an answer");
        assert_eq!(invoked.error.is_some(), exit);
        if !exit {
            host.close(Duration::ZERO).await;
        }
        let text = std::fs::read_to_string(&file).expect("pids");
        for pid in text.split(' ').map(|pid| pid.parse().expect("a pid")) {
            until("the process is gone", || !lives(pid)).await;
        }
    }
}

#[tokio::test]
async fn memory_above_the_limit_ends_the_process() {
    let kit = unruly().with("f", |f| f.memory = ByteSize::mib(100));
    let host = kit.open();
    for event in [r#"{"do": "leak"}"#, r#"{"do": "fork and leak"}"#] {
        let (kind, message) = error(invoke(&host, "f", event).await);
        assert_eq!(kind, "Runtime.OutOfMemory", "{event}");
        assert!(message.contains("signal: killed"), "{message}");
        value(invoke(&host, "f", "{}").await);
    }
    assert!(log(&host, "f").contains("may hold 100 MB: it was ended"));
    let peak = rows(&host, "f")[0].memory_peak_bytes;
    assert!(peak > 100 << 20, "{peak}");
    // One allocation far above the limit is refused by the system before it can be seen.
    let (kind, _) = error(invoke(&host, "f", r#"{"do": "gulp"}"#).await);
    assert_eq!(kind, "MemoryError");
}

#[tokio::test]
async fn flood_of_output_is_bounded_and_said() {
    let kit = unruly();
    let host = kit.open();
    value(invoke(&host, "f", r#"{"do": "flood"}"#).await);
    until("the log is closed off", || log(&host, "f").contains("REPORT")).await;
    let text = log(&host, "f");
    assert!(text.len() < 3 << 20, "{}", text.len());
    assert!(text.contains("bytes of output were dropped: an invocation keeps 1 MiB"), "{}", &text[..200]);
    // The next invocation's output is there again.
    let told = Invocation { wants_log: true, ..call("f", "{}") };
    let tail = host.invoke(told).await.expect("an answer").log_tail;
    assert!(String::from_utf8_lossy(&tail).contains("START RequestId"));
    host.close(Duration::ZERO).await;
    let file = kit.dir.path().join("state/functions/logs/f.ndjson");
    let bytes = std::fs::metadata(file).expect("a log file").len();
    assert!(bytes < 3 << 20, "{bytes}");
}

#[tokio::test]
async fn process_that_dies_at_start_is_reported_each_time() {
    let kit = Kit::new().shell("f", "echo I cannot >&2; exit 4");
    let host = kit.open();
    for _ in 0..3 {
        let (kind, message) = error(invoke(&host, "f", "{}").await);
        assert_eq!(kind, "Runtime.ExitError");
        assert!(message.ends_with("Error: Runtime exited with error: exit status 4"), "{message}");
    }
    until("its words are in the log", || log(&host, "f").contains("I cannot\n")).await;
}

#[tokio::test]
async fn start_that_takes_too_long_is_reported() {
    let kit = Kit::new().shell("f", "sleep 3600");
    let mut settings = kit.settings();
    settings.init_timeout = Duration::from_millis(300);
    let host = kit.open_with(settings);
    let (kind, message) = error(invoke(&host, "f", "{}").await);
    assert_eq!(kind, "Sandbox.Timedout");
    assert!(message.ends_with("Error: Init timed out after 0.30 seconds"), "{message}");
    until("the process is gone", || host.functions()[0].processes == 0).await;
}

#[tokio::test]
async fn init_error_is_answered_as_it_was_told() {
    let program = r#"
post("/init/error", {"errorType": "Extension.Missing", "errorMessage": "no luck", "stackTrace": []},
     {"Lambda-Runtime-Function-Error-Type": "Extension.Missing"})
sys.exit(1)
"#;
    let kit = Kit::new().raw("f", program);
    let host = kit.open();
    let told = error(invoke(&host, "f", "{}").await);
    assert_eq!(told, ("Extension.Missing".into(), "no luck".into()));
}

#[tokio::test]
async fn program_that_cannot_be_started_is_unavailable() {
    let kit = Kit::new().shell("f", "true");
    std::fs::remove_file(kit.folder("f").join("bootstrap")).expect("removed");
    let host = kit.open();
    match invoke(&host, "f", "{}").await {
        Err(InvokeError::Unavailable { why, .. }) => {
            assert!(why.contains("bootstrap does not start"), "{why}")
        }
        other => panic!("{other:?}"),
    }
    kit.write("f", "bootstrap", "#!/bin/sh\nexit 5\n");
    assert_eq!(error(invoke(&host, "f", "{}").await).0, "Runtime.ExitError");
}

#[tokio::test]
async fn closed_socket_costs_no_invocation() {
    // Hangs up while it waits for an event, and asks again; hangs up for good with an event in its hands.
    let program = r#"
import socket
while os.path.exists(os.environ["SIGNAL"] + ".done"):
    id, event, _ = next()
    answer(id, event)
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
s = socket.create_connection((host, int(port)))
s.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
while not os.path.exists(os.environ["SIGNAL"]):
    time.sleep(0.005)
s.close()
s = socket.create_connection((host, int(port)))
s.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
os.rename(os.environ["SIGNAL"], os.environ["SIGNAL"] + ".done")
told = s.recv(65536).decode()
id = told.split("request-id: ")[1].split("\r")[0]
answer(id, json.loads(told.split("\r\n\r\n")[1]))
id, event, _ = next()
api.close()
time.sleep(3600)
"#;
    let kit = Kit::new().raw("f", program);
    let signal = kit.dir.path().join("signal");
    let kit = kit.with("f", |f| {
        f.timeout = Span::from_secs(2);
        f.concurrency.reserved = 1;
        f.environment.insert("SIGNAL".into(), signal.display().to_string());
    });
    let host = kit.open();
    until("it waits for an event", || host.functions()[0].idle == 1).await;
    std::fs::write(&signal, "").expect("written");
    // Both connections' news are there when the file goes; the host looks at them between two looks of ours.
    let mut looks = 0;
    until("it waits on another connection", || {
        looks += u32::from(!signal.exists());
        looks > 3
    })
    .await;
    assert_eq!(value(invoke(&host, "f", "1").await), json!(1));
    assert_eq!(error(invoke(&host, "f", "2").await).0, "Sandbox.Timedout");
    assert_eq!(value(invoke(&host, "f", "3").await), json!(3));
}

#[tokio::test]
async fn process_that_never_asks_again_is_ended() {
    let program = r#"
id, event, _ = next()
answer(id, os.getpid())
time.sleep(3600)
"#;
    let kit = Kit::new().raw("f", program).with("f", |f| {
        f.timeout = Span::from_secs(1);
        f.concurrency.max = 1;
    });
    let host = kit.open();
    let first = value(invoke(&host, "f", "{}").await);
    let second = value(invoke(&host, "f", "{}").await);
    assert_ne!(first, second);
    until("the first is gone", || !lives(first.as_u64().expect("a pid"))).await;
    assert!(log(&host, "f").contains("did not ask for another event"));
}

#[tokio::test]
async fn caller_that_gives_up_does_not_stop_the_function() {
    let kit = unruly();
    let host = kit.open();
    let first = pid(&value(invoke(&host, "f", "{}").await));
    {
        let call = std::pin::pin!(invoke(&host, "f", "{}"));
        assert!(futures::poll!(call).is_pending());
    }
    until("both are accounted for", || rows(&host, "f").len() == 2).await;
    assert_eq!(pid(&value(invoke(&host, "f", "{}").await)), first);
}
