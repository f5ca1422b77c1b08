//! What is found wrong with a function before it runs.

use crate::kit::{Kit, function};
use bourn_config::{ByteSize, Destination, Function, Runtime, Secret, Span};
use bourn_functions::check as look;

fn check(kit: &Kit, name: &str, function: &Function, key: &str, message: &str) {
    let findings = look(kit.dir.path(), name, function).expect_err("a finding");
    let found = findings.iter().any(|finding| finding.0 == key && finding.1.contains(message));
    assert!(found, "{key}: {message}: {findings:?}");
}

#[test]
fn good_functions_pass() {
    let kit = Kit::new()
        .shell("provided", "true")
        .python("python", "")
        .node("node", "")
        .python("package", "")
        .with("package", |f| f.handler = Some("deep.er.main".into()));
    kit.write("package", "deep/er/__init__.py", "");
    for (name, function) in &kit.functions {
        assert_eq!(look(kit.dir.path(), name, function), Ok(()), "{name}");
    }
}

type Change<'a> = &'a dyn Fn(&mut Function);

#[test]
fn each_fault_is_found_at_its_key() {
    let kit = Kit::new().shell("f", "true").python("p", "");
    let provided = || function(Runtime::Provided, None);
    let python = |handler| function(Runtime::Python3, handler);
    check(&kit, "a.b", &provided(), "", "not the name of a function");
    check(&kit, "nowhere", &provided(), "code", "there is no folder");
    check(&kit, "p", &provided(), "runtime", "there is no");
    check(&kit, "p", &python(None), "handler", "is not said");
    check(&kit, "p", &python(Some("handler")), "handler", "not `module.function`");
    check(&kit, "p", &python(Some("other.main")), "handler", "other.py");
    check(&kit, "p", &function(Runtime::Nodejs, Some("handler.main")), "handler", "handler.js");
    let path = |f: &mut Function| f.environment.insert("PATH".into(), "/nowhere".into());
    let changed = |change: &dyn Fn(&mut Function)| {
        let mut function = python(Some("handler.main"));
        change(&mut function);
        function
    };
    let cases: [(&str, &str, Change<'_>); 9] = [
        ("runtime", "`python3` is not on the PATH", &|f| drop(path(f))),
        ("concurrency.max", "0 processes", &|f| f.concurrency.max = 0),
        ("concurrency.reserved", "11 are reserved, of at most 10", &|f| f.concurrency.reserved = 11),
        ("memory", "1MiB is less", &|f| f.memory = ByteSize::mib(1)),
        ("timeout", "no time", &|f| f.timeout = Span::from_secs(0)),
        ("retries", "3 retries", &|f| f.retries = 3),
        ("on_failure", "its own failures", &|f| f.on_failure = Some(Destination::Function("p".into()))),
        ("environment.AWS_REGION", "set by the runtime", &|f| {
            f.environment.insert("AWS_REGION".into(), "x".into());
        }),
        ("secrets.PATH", "in `environment` too", &|f| {
            f.secrets.insert("PATH".into(), Secret::new("x"));
        }),
    ];
    for (key, message, change) in cases {
        check(&kit, "p", &changed(change), key, message);
    }
    std::fs::set_permissions(
        kit.folder("f").join("bootstrap"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .expect("changed");
    check(&kit, "f", &provided(), "runtime", "is not executable");
}
