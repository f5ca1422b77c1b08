//! From none to many and back: starting, keeping, throttling, putting away, renewing, closing.

use crate::kit::{ECHO, Kit, call, error, invoke, lives, log, rows, until, value};
use bourn_config::Span;
use bourn_event::{Functions, Invocation, InvokeError};
use futures::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Answers with its process id once there are as many files in the folder as the event says.
const MEET: &str = r#"
import os, time

def main(event, context):
    if event:
        open(os.path.join(event["folder"], context.aws_request_id), "w").close()
        while len(os.listdir(event["folder"])) < event["count"]:
            time.sleep(0.005)
    return os.getpid()
"#;

fn meeting(kit: &Kit, name: &str, count: usize) -> String {
    let folder = kit.dir.path().join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    json!({"folder": folder, "count": count}).to_string()
}

#[tokio::test]
async fn warm_process_is_used_again() {
    let kit = Kit::new().raw("f", "while True:\n    id, event, _ = next()\n    answer(id, os.getpid())\n");
    let host = kit.open();
    assert_eq!(host.functions()[0].processes, 0, "from nothing");
    let first = value(invoke(&host, "f", "{}").await);
    for _ in 0..50 {
        assert_eq!(value(invoke(&host, "f", "{}").await), first);
    }
    until("all are accounted for", || rows(&host, "f").len() == 51).await;
    let rows = rows(&host, "f");
    assert_eq!(rows.iter().filter(|row| row.init_us.is_some()).count(), 1);
    let row = &rows[0];
    assert!(row.init_us.is_some() && row.memory_peak_bytes > 0 && row.billed_ms > 0, "{row:?}");
    let gb_seconds = row.billed_ms as f64 / 1000.0 * 0.25;
    assert!((row.gb_seconds - gb_seconds).abs() < 1e-9, "{row:?}");
    assert_eq!(host.functions()[0].cold_starts, 1);
}

#[tokio::test]
async fn concurrency_grows_to_its_limit_and_throttles_above() {
    let kit = Kit::new().python("f", MEET).with("f", |f| f.concurrency.max = 4);
    let host = kit.open();
    let event = meeting(&kit, "first", 5);
    let running: Vec<_> = (0..4)
        .map(|_| {
            let (host, event) = (host.clone(), event.clone());
            tokio::spawn(async move { invoke(&host, "f", &event).await })
        })
        .collect();
    until("four run", || host.functions()[0].busy == 4).await;
    match invoke(&host, "f", "{}").await {
        Err(InvokeError::Throttled { function, retry_after }) => {
            assert_eq!(function, "f");
            assert!(!retry_after.is_zero());
        }
        other => panic!("{other:?}"),
    }
    std::fs::write(kit.dir.path().join("first/the-fifth"), "").expect("written");
    let mut pids = BTreeSet::new();
    for task in running {
        pids.insert(value(task.await.expect("joined")).as_u64());
    }
    assert_eq!(pids.len(), 4);
    assert_eq!(host.functions()[0].throttles, 1);
    // The most recently used is used first: one after another, they all are the same.
    let again: BTreeSet<_> =
        join_all([invoke(&host, "f", "null")]).await.into_iter().map(|a| value(a).as_u64()).collect();
    assert!(again.is_subset(&pids));
    assert_eq!(host.functions()[0].processes, 4);
}

#[tokio::test]
async fn idle_processes_are_put_away_and_reserved_ones_kept() {
    let kit = Kit::new().python("f", MEET).with("f", |f| {
        f.idle = Span::parse("200ms").expect("a span");
        f.concurrency.reserved = 1;
    });
    let host = kit.open();
    until("the reserved one is ready", || host.functions()[0].idle == 1).await;
    let event = meeting(&kit, "all", 3);
    let pids: Vec<_> =
        join_all((0..3).map(|_| invoke(&host, "f", &event))).await.into_iter().map(value).collect();
    assert_eq!(pids.iter().map(Value::to_string).collect::<BTreeSet<_>>().len(), 3);
    until("one is left", || host.functions()[0].processes == 1).await;
    let left = || pids.iter().filter(|pid| lives(pid.as_u64().expect("a pid"))).count();
    until("the others are gone", || left() == 1).await;
    assert_eq!(value(invoke(&host, "f", "null").await).as_u64().map(lives), Some(true));
}

#[tokio::test]
async fn reserved_process_that_dies_is_replaced() {
    let kit = Kit::new()
        .python("f", "import os\ndef main(event, context):\n    os._exit(1) if event else None\n    return os.getpid()")
        .with("f", |f| f.concurrency.reserved = 1);
    let host = kit.open();
    until("it is ready", || host.functions()[0].idle == 1).await;
    error(invoke(&host, "f", "true").await);
    until("another is ready", || host.functions()[0].idle == 1).await;
    assert!(rows(&host, "f")[0].init_us.is_some());
}

#[tokio::test]
async fn changed_code_gets_new_processes_and_old_ones_finish() {
    let kit = Kit::new().python("f", MEET);
    let host = kit.open();
    let idle = value(invoke(&host, "f", "null").await).as_u64().expect("a pid");
    let event = meeting(&kit, "wait", 2);
    let old = tokio::spawn({
        let host = host.clone();
        async move { invoke(&host, "f", &event).await }
    });
    until("it runs", || host.functions()[0].busy == 1).await;
    kit.write("f", "handler.py", "def main(event, context):\n    return 'new'\n");
    // The one process is busy, so that new code is seen in a new one only.
    let mut answer = json!(null);
    while answer != json!("new") {
        answer = value(invoke(&host, "f", "null").await);
    }
    assert!(lives(idle), "the busy one finishes");
    std::fs::write(kit.dir.path().join("wait/second"), "").expect("written");
    assert_eq!(value(old.await.expect("joined")), json!(idle));
    until("it goes then", || !lives(idle)).await;
    assert_eq!(value(invoke(&host, "f", "null").await), json!("new"));
}

#[tokio::test]
async fn close_lets_invocations_finish() {
    let kit = Kit::new().python("f", MEET);
    let host = kit.open();
    let event = meeting(&kit, "wait", 2);
    let running = tokio::spawn({
        let host = host.clone();
        async move { invoke(&host, "f", &event).await }
    });
    until("it runs", || host.functions()[0].busy == 1).await;
    let closing = tokio::spawn({
        let host = host.clone();
        async move { host.close(Duration::from_secs(60)).await }
    });
    until("it closes", || {
        matches!(futures::FutureExt::now_or_never(invoke(&host, "f", "null")), Some(Err(InvokeError::Closed)))
    })
    .await;
    assert!(!closing.is_finished());
    std::fs::write(kit.dir.path().join("wait/second"), "").expect("written");
    let pid = value(running.await.expect("joined")).as_u64().expect("a pid");
    closing.await.expect("closed");
    assert!(!lives(pid));
}

#[tokio::test]
async fn close_cuts_what_takes_too_long() {
    let kit = Kit::new().python("f", MEET);
    let host = kit.open();
    let event = meeting(&kit, "never", 2);
    let running = tokio::spawn({
        let host = host.clone();
        async move { invoke(&host, "f", &event).await }
    });
    until("it runs", || host.functions()[0].busy == 1).await;
    host.close(Duration::from_millis(50)).await;
    assert!(matches!(running.await.expect("joined"), Err(InvokeError::Closed)));
    assert_eq!(host.functions()[0].processes, 0);
}

#[tokio::test]
async fn log_and_history_are_there_after_a_restart() {
    let kit = Kit::new().python("f", "def main(event, context):\n    print('hello', event)\n    return 1\n");
    let host = kit.open();
    let told = Invocation { wants_log: true, ..call("f", "7") };
    let invoked = host.invoke(told).await.expect("an answer");
    let id = &invoked.request_id;
    let tail = String::from_utf8_lossy(&invoked.log_tail).into_owned();
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines[0], format!("START RequestId: {id} Version: $LATEST"));
    assert_eq!(lines[1], "hello 7");
    assert_eq!(lines[2], format!("END RequestId: {id}"));
    assert!(lines[3].starts_with(&format!("REPORT RequestId: {id}\tDuration: ")), "{}", lines[3]);
    assert!(lines[3].contains("\tMemory Size: 256 MB\tMax Memory Used: "), "{}", lines[3]);
    assert!(lines[3].contains("\tInit Duration: "), "{}", lines[3]);
    host.close(Duration::ZERO).await;
    let (before, past) = (log(&host, "f"), rows(&host, "f"));
    drop(host);
    let host = kit.open();
    assert_eq!(log(&host, "f"), before);
    assert_eq!(rows(&host, "f"), past);
    let row = &host.logs(None)[1];
    assert_eq!((row.line.as_str(), row.request_id.as_deref()), ("hello 7", Some(id.as_str())));
}

#[tokio::test]
async fn long_log_tail_is_its_last_four_kibibytes() {
    let kit = Kit::new().python("f", "def main(event, context):\n    print('x' * 10000)\n");
    let host = kit.open();
    let told = Invocation { wants_log: true, ..call("f", "7") };
    let tail = host.invoke(told).await.expect("an answer").log_tail;
    assert_eq!(tail.len(), 4096);
    assert!(String::from_utf8_lossy(&tail).contains("REPORT RequestId"));
    let without = invoke(&host, "f", "7").await.expect("an answer").log_tail;
    assert!(without.is_empty());
}

#[tokio::test]
async fn environment_is_the_documented_one_and_nothing_of_ours() {
    let kit =
        Kit::new().raw("f", "while True:\n    id, event, _ = next()\n    answer(id, dict(os.environ))\n");
    let kit = kit.with("f", |f| {
        f.handler = Some("some.thing".into());
        f.environment.insert("GREETING".into(), "hello".into());
        f.secrets.insert("TOKEN".into(), bourn_config::Secret::new("s3cret"));
    });
    let host = kit.open();
    let environment = value(invoke(&host, "f", "{}").await);
    let task_root = kit.folder("f").display().to_string();
    let expected = [
        ("_HANDLER", "some.thing"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("LAMBDA_TASK_ROOT", &task_root),
        ("LANG", "en_US.UTF-8"),
        ("TZ", ":UTC"),
        ("GREETING", "hello"),
        ("TOKEN", "s3cret"),
    ];
    for (key, wanted) in expected {
        assert_eq!(environment[key], json!(wanted), "{key}");
    }
    let varying = [
        "PATH",
        "HOME",
        "TMPDIR",
        "LAMBDA_RUNTIME_DIR",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "BOURN_FUNCTION_PROCESS",
        // Python's own.
        "LC_CTYPE",
    ];
    let known: BTreeSet<&str> = varying.into_iter().chain(expected.map(|(key, _)| key)).collect();
    let surplus =
        environment.as_object().expect("variables").keys().filter(|key| !known.contains(key.as_str()));
    assert_eq!(surplus.collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(!format!("{:?}", kit.functions).contains("s3cret"));
}

#[tokio::test]
async fn thousand_invocations_at_once_all_have_an_answer() {
    let kit = Kit::new().raw("f", ECHO).with("f", |f| f.concurrency.max = 4);
    let host = kit.open();
    let one = async |index: usize| {
        let payload = index.to_string();
        loop {
            match invoke(&host, "f", &payload).await {
                Err(InvokeError::Throttled { retry_after, .. }) => tokio::time::sleep(retry_after).await,
                invoked => break assert_eq!(value(invoked), json!(index)),
            }
        }
    };
    join_all((0..1000).map(one)).await;
    assert!(host.functions()[0].processes <= 4);
}
