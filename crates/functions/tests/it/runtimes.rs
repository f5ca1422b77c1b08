//! Python and Node.js handlers under our shims, and real runtimes that people bring along.

use crate::kit::{Kit, call, error, function, invoke, log, python, until, value};
use bourn_config::{Runtime, Span};
use bourn_event::{FunctionError, Functions, Invocation};
use bourn_functions::Host;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

async fn payload(host: &Host, function: &str, event: &str) -> Value {
    let invoked = invoke(host, function, event).await.expect("an answer");
    serde_json::from_slice(&invoked.payload).expect("JSON")
}

const PYTHON: &str = r#"
import asyncio, datetime, decimal, logging, os

logging.getLogger().setLevel(logging.INFO)

def main(event, context):
    what = event.get("do")
    if what == "context":
        logging.info("told")
        return {
            "name": context.function_name, "version": context.function_version,
            "arn": context.invoked_function_arn, "memory": context.memory_limit_in_mb,
            "id": context.aws_request_id, "group": context.log_group_name,
            "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis(),
            "client": context.client_context and context.client_context.custom,
            "identity": context.identity.cognito_identity_id, "trace": os.environ["_X_AMZN_TRACE_ID"],
        }
    if what == "fail":
        return deep(event)
    if what == "unmarshalable":
        return datetime
    if what == "nan":
        return float("nan")
    if what == "decimal":
        return [decimal.Decimal("1.5"), decimal.Decimal("3"), "größer"]

def deep(event):
    raise ValueError("not %s" % event["do"])

async def later(event, context):
    await asyncio.sleep(0)
    return {"async": event}
"#;

#[tokio::test]
async fn python_handler_gets_event_and_context() {
    let kit = Kit::new().python("f", PYTHON);
    let host = kit.open();
    let told = Invocation {
        client_context: Some(r#"{"custom": {"k": "v"}}"#.into()),
        ..call("f", r#"{"do": "context"}"#)
    };
    let invoked = host.invoke(told).await;
    let id = invoked.as_ref().expect("an answer").request_id.clone();
    let answer = value(invoked);
    let expected = [
        ("name", json!("f")),
        ("version", json!("$LATEST")),
        ("arn", json!("arn:aws:lambda:us-east-1:000000000000:function:f")),
        ("memory", json!("256")),
        ("id", json!(id)),
        ("group", json!("/aws/lambda/f")),
        ("client", json!({"k": "v"})),
        ("identity", json!(null)),
    ];
    for (key, wanted) in expected {
        assert_eq!(answer[key], wanted, "{key}");
    }
    assert!(answer["left"].as_i64().is_some_and(|left| (1..=30_000).contains(&left)), "{answer}");
    assert!(answer["trace"].as_str().is_some_and(|trace| trace.starts_with("Root=1-")), "{answer}");
    assert_eq!(value(invoke(&host, "f", r#"{"do": "decimal"}"#).await), json!([1.5, 3, "größer"]));
    assert_eq!(value(invoke(&host, "f", "{}").await), json!(null));
    until("its logging is in the log", || log(&host, "f").contains(&format!("Z\t{id}\ttold"))).await;
}

#[tokio::test]
async fn python_error_has_the_shape_of_aws() {
    let kit = Kit::new().python("f", PYTHON);
    let host = kit.open();
    let invoked = invoke(&host, "f", r#"{"do": "fail"}"#).await.expect("an answer");
    assert_eq!(invoked.error, Some(FunctionError::Handled));
    let report: Value = serde_json::from_slice(&invoked.payload).expect("JSON");
    assert_eq!(report["errorType"], json!("ValueError"));
    assert_eq!(report["errorMessage"], json!("not fail"));
    assert_eq!(report["requestId"], json!(invoked.request_id));
    let stack = report["stackTrace"].as_array().expect("a stack");
    assert_eq!(stack.len(), 2, "{stack:?}");
    assert!(stack[0].as_str().is_some_and(|frame| frame.contains("handler.py\", line ")), "{stack:?}");
    for event in [r#"{"do": "unmarshalable"}"#, r#"{"do": "nan"}"#] {
        let (kind, message) = error(invoke(&host, "f", event).await);
        assert_eq!(kind, "Runtime.MarshalError");
        assert!(message.starts_with("Unable to marshal response: "), "{message}");
    }
    assert_eq!(host.functions()[0].cold_starts, 1, "errors end no process");
}

#[tokio::test]
async fn async_python_handler_is_awaited() {
    let kit = Kit::new().python("f", PYTHON).with("f", |f| f.handler = Some("handler.later".into()));
    let host = kit.open();
    for n in 0..3 {
        let answer = value(invoke(&host, "f", &format!("{{\"n\": {n}}}")).await);
        assert_eq!(answer, json!({"async": {"n": n}}));
    }
}

#[tokio::test]
async fn python_that_does_not_load_says_why() {
    let cases = [
        (
            "handler.main",
            "import nothing_like_it",
            "Runtime.ImportModuleError",
            "No module named 'nothing_like_it'",
        ),
        ("handler.main", "def main(:", "Runtime.UserCodeSyntaxError", "Syntax error in module 'handler'"),
        ("handler.main", "x = 1", "Runtime.HandlerNotFound", "Handler 'main' missing on module 'handler'"),
        ("handler", "x = 1", "Runtime.MalformedHandlerName", "Bad handler 'handler'"),
        ("handler.main", "raise KeyError('k')", "KeyError", "'k'"),
    ];
    let mut kit = Kit::new();
    for (index, (handler, text, ..)) in cases.iter().enumerate() {
        let name = format!("f{index}");
        kit = kit.python(&name, text).with(&name, |f| f.handler = Some((*handler).into()));
    }
    let host = kit.open();
    for (index, (_, _, kind, message)) in cases.iter().enumerate() {
        let invoked = invoke(&host, &format!("f{index}"), "{}").await;
        assert_eq!(invoked.as_ref().expect("an answer").error, Some(FunctionError::Unhandled));
        let (found, said) = error(invoked);
        assert_eq!(found, *kind, "{said}\n{}", log(&host, &format!("f{index}")));
        assert!(said.contains(message), "{said}");
    }
}

const NODE: &str = r#"
exports.main = async (event, context) => {
  if (event.do === "context") {
    console.log("told");
    return {
      name: context.functionName, version: context.functionVersion, arn: context.invokedFunctionArn,
      memory: context.memoryLimitInMB, id: context.awsRequestId, group: context.logGroupName,
      left: context.getRemainingTimeInMillis(), client: context.clientContext && context.clientContext.custom,
    };
  }
  if (event.do === "fail") throw new RangeError("not " + event.do);
  if (event.do === "reject") { Promise.reject(new Error("nobody waits")); await new Promise((r) => setTimeout(r, 5000)); }
  if (event.do === "circle") { const circle = {}; circle.circle = circle; return circle; }
};
exports.callback = (event, context, callback) => {
  if (event.do === "silent") return;
  if (event.do === "succeed") return context.succeed("done");
  setTimeout(() => (event.do === "fail" ? callback(new Error("called back")) : callback(null, event)), 1);
};
exports.plain = (event) => event;
exports.streamed = awslambda.streamifyResponse(async (event, stream) => {
  stream.write('{"streamed":');
  stream.write(JSON.stringify(event));
  stream.end("}");
});
"#;

fn node_kit() -> Kit {
    let mut kit = Kit::new();
    for name in ["main", "callback", "plain", "streamed"] {
        kit = kit.node(name, NODE).with(name, |f| {
            f.handler = Some(format!("index.{name}"));
            f.concurrency.max = 1;
        });
    }
    kit
}

#[tokio::test]
async fn node_handler_gets_event_and_context() {
    let kit = node_kit();
    let host = kit.open();
    let told = Invocation {
        client_context: Some(r#"{"custom": {"k": "v"}}"#.into()),
        ..call("main", r#"{"do": "context"}"#)
    };
    let invoked = host.invoke(told).await;
    let id = invoked.as_ref().expect("an answer").request_id.clone();
    let answer = value(invoked);
    let expected = [
        ("name", json!("main")),
        ("version", json!("$LATEST")),
        ("arn", json!("arn:aws:lambda:us-east-1:000000000000:function:main")),
        ("memory", json!("256")),
        ("id", json!(id)),
        ("group", json!("/aws/lambda/main")),
        ("client", json!({"k": "v"})),
    ];
    for (key, wanted) in expected {
        assert_eq!(answer[key], wanted, "{key}");
    }
    assert!(answer["left"].as_i64().is_some_and(|left| (1..=30_000).contains(&left)), "{answer}");
    assert_eq!(value(invoke(&host, "main", "{}").await), json!(null));
    until("its words are in the log", || log(&host, "main").contains("told\n")).await;
}

#[tokio::test]
async fn node_handlers_of_all_kinds_answer() {
    let kit = node_kit();
    let host = kit.open();
    let cases = [
        ("callback", "{}", json!({})),
        ("callback", r#"{"do": "silent"}"#, json!(null)),
        ("callback", r#"{"do": "succeed"}"#, json!("done")),
        ("plain", "[1, null]", json!([1, null])),
        ("streamed", "{\"a\":1}", json!({"streamed": {"a": 1}})),
    ];
    for (name, event, expected) in cases {
        assert_eq!(value(invoke(&host, name, event).await), expected, "{name} {event}");
    }
}

#[tokio::test]
async fn node_error_has_the_shape_of_aws() {
    let kit = node_kit();
    let host = kit.open();
    let report = payload(&host, "main", r#"{"do": "fail"}"#).await;
    assert_eq!((&report["errorType"], &report["errorMessage"]), (&json!("RangeError"), &json!("not fail")));
    let trace = report["trace"].as_array().expect("a trace");
    assert_eq!(trace[0], json!("RangeError: not fail"));
    assert!(trace[1].as_str().is_some_and(|frame| frame.contains("index.js:")), "{trace:?}");
    let called = error(invoke(&host, "callback", r#"{"do": "fail"}"#).await);
    assert_eq!(called, ("Error".into(), "called back".into()));
    assert_eq!(error(invoke(&host, "main", r#"{"do": "circle"}"#).await).0, "Runtime.MarshalError");
    let (kind, message) = error(invoke(&host, "main", r#"{"do": "reject"}"#).await);
    assert_eq!(kind, "Runtime.ExitError");
    assert!(message.ends_with("exit status 129"), "{message}");
    until("it is in the log", || log(&host, "main").contains("Runtime.UnhandledPromiseRejection")).await;
}

#[tokio::test]
async fn node_that_does_not_load_says_why() {
    let cases = [
        ("index.main", "require('nothing-like-it')", "Runtime.ImportModuleError"),
        ("index.main", "exports.main = (", "Runtime.UserCodeSyntaxError"),
        ("index.other", "exports.main = () => 1", "Runtime.HandlerNotFound"),
        ("other.main", "exports.main = () => 1", "Runtime.ImportModuleError"),
        ("index.main", "throw new TypeError('at once')", "TypeError"),
    ];
    let mut kit = Kit::new();
    for (index, (handler, text, _)) in cases.iter().enumerate() {
        let name = format!("f{index}");
        kit = kit.node(&name, text).with(&name, |f| f.handler = Some((*handler).into()));
    }
    let host = kit.open();
    for (index, (.., kind)) in cases.iter().enumerate() {
        let (found, message) = error(invoke(&host, &format!("f{index}"), "{}").await);
        assert_eq!(found, *kind, "{message}");
    }
}

#[tokio::test]
async fn node_module_of_the_new_kind_loads() {
    let kit = Kit::new().node("f", "").with("f", |f| f.handler = Some("deep/er/mod.main".into()));
    kit.write("f", "deep/er/mod.mjs", "export const main = async (event) => ({ esm: event });");
    let host = kit.open();
    assert_eq!(value(invoke(&host, "f", "1").await), json!({"esm": 1}));
}

/// A Python that has `awslambdaric`, as the tests' environment names it.
fn python_with_awslambdaric() -> Option<PathBuf> {
    let named = ["BOURN_TEST_PYTHON", "BOURN_READERS_PYTHON"].into_iter().filter_map(std::env::var_os);
    let mut candidates = named.map(PathBuf::from).chain([python().to_path_buf()]);
    candidates.find(|python| {
        let import = Command::new(python).args(["-c", "import awslambdaric"]).output();
        import.is_ok_and(|output| output.status.success())
    })
}

#[tokio::test]
async fn handler_under_the_real_awslambdaric_runs_unchanged() {
    let Some(python) = python_with_awslambdaric() else {
        eprintln!("SKIPPED: no Python with awslambdaric; name one in BOURN_TEST_PYTHON (./test makes one)");
        return;
    };
    let bootstrap = format!("exec {} -m awslambdaric handler.main", python.display());
    let kit = Kit::new().shell("f", &bootstrap);
    kit.write("f", "handler.py", PYTHON);
    let kit = kit.with("f", |f| f.timeout = Span::from_secs(20));
    let host = kit.open();
    let answer = value(invoke(&host, "f", r#"{"do": "context"}"#).await);
    assert_eq!(answer["name"], json!("f"));
    assert_eq!(answer["memory"], json!("256"));
    assert!(answer["left"].as_i64().is_some_and(|left| (1..=20_000).contains(&left)), "{answer}");
    let (kind, message) = error(invoke(&host, "f", r#"{"do": "fail"}"#).await);
    assert_eq!((kind.as_str(), message.as_str()), ("ValueError", "not fail"));
    assert_eq!(error(invoke(&host, "f", r#"{"do": "unmarshalable"}"#).await).0, "Runtime.MarshalError");
    assert_eq!(host.functions()[0].cold_starts, 1);
}

#[tokio::test]
async fn program_on_the_lambda_runtime_crate_runs_unchanged() {
    let target = std::env::current_exe().expect("this test").with_file_name("../../lambda_rust");
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked"])
        .current_dir("tests/programs/lambda_rust")
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let mut kit = Kit::new();
    let mut settings = function(Runtime::Provided, None);
    std::fs::create_dir_all(kit.folder("f")).expect("a folder");
    std::fs::copy(target.join("debug/bootstrap"), kit.folder("f").join("bootstrap")).expect("the program");
    settings.environment.clear();
    kit.functions.insert("f".into(), settings);
    let host = kit.open();
    let told =
        Invocation { client_context: Some(r#"{"custom": {"k": "v"}}"#.into()), ..call("f", r#"{"n": 1}"#) };
    let invoked = host.invoke(told).await;
    let id = invoked.as_ref().expect("an answer").request_id.clone();
    let answer = value(invoked);
    assert_eq!(answer["echo"], json!({"n": 1}));
    assert_eq!(answer["request_id"], json!(id));
    assert_eq!((&answer["function"], &answer["memory"]), (&json!("f"), &json!(256)));
    assert_eq!(answer["client"], json!({"k": "v"}));
    let (_, message) = error(invoke(&host, "f", r#"{"do": "fail"}"#).await);
    assert_eq!(message, "told to fail");
    let (_, message) = error(invoke(&host, "f", r#"{"do": "panic"}"#).await);
    assert!(message.contains("told to panic"), "{message}");
    assert_eq!(error(invoke(&host, "f", r#"{"do": "exit"}"#).await).0, "Runtime.ExitError");
    assert_eq!(value(invoke(&host, "f", "{}").await)["echo"], json!({}));
}
