//! `functions:`, `workflows:`, `schedules:`, `triggers:` and what they reach.

use super::Context;
use crate::fault::child;
use crate::model::{
    ByteSize, DEFAULT_BUS, Destination, Function, Runtime, Span, Target, TriggerOn, Workflow,
};
use crate::suggest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// As AWS Lambda has it.
const TIMEOUT_MAX: Span = Span::from_secs(900);

/// An interpreter needs about half of it to start.
const MEMORY_MIN: ByteSize = ByteSize::mib(32);

const RETRIES_MAX: u32 = 2;

pub(super) fn check(context: &mut Context<'_>) {
    let pipeline = context.pipeline;
    for (name, function) in &pipeline.functions {
        let at = child("/functions", name);
        context.plain_name(&at, name);
        check_function(context, &at, name, function);
    }
    for (name, workflow) in &pipeline.workflows {
        let at = child("/workflows", name);
        context.plain_name(&at, name);
        check_workflow(context, &at, name, workflow);
    }
    for (name, schedule) in &pipeline.schedules {
        let at = child("/schedules", name);
        context.plain_name(&at, name);
        context.not_empty(&format!("{at}/when"), &schedule.when, "cron fields, `rate(…)` or `at(…)`");
        context.not_empty(&format!("{at}/timezone"), &schedule.timezone, "the name of a time zone");
        target(context, &format!("{at}/run"), &schedule.run);
    }
    for (name, trigger) in &pipeline.triggers {
        let at = child("/triggers", name);
        context.plain_name(&at, name);
        match &trigger.pattern {
            Value::Object(fields) if !fields.is_empty() => {}
            _ => {
                let hint = "write it like `{source: [bourn.stream], detail-type: [orders]}`".to_string();
                context.fault(&format!("{at}/pattern"), "expected an event pattern", Some(hint));
            }
        }
        match &trigger.on {
            Some(TriggerOn::Stream(stream)) => context.stream(&format!("{at}/on/stream"), stream),
            Some(TriggerOn::Bus(bus)) if bus != DEFAULT_BUS => {
                let mut buses = vec![DEFAULT_BUS];
                buses.extend(pipeline.streams.keys().map(String::as_str));
                context.member(&format!("{at}/on/bus"), "bus", "streams", bus, &buses);
            }
            Some(TriggerOn::Bus(_) | TriggerOn::Bourn) | None => {}
        }
        target(context, &format!("{at}/run"), &trigger.run);
    }
    reached(context);
    aws(context);
}

fn check_function(context: &mut Context<'_>, at: &str, name: &str, function: &Function) {
    handler(context, at, function);
    let (pointer, folder) = match &function.code {
        Some(code) => (format!("{at}/code"), code.clone()),
        None => (at.to_string(), Path::new("functions").join(name)),
    };
    if !context.dir.join(&folder).is_dir() {
        let message = format!("there is no folder `{}` with its code", folder.display());
        context.fault(&pointer, message, None);
    }
    context.at_least(&format!("{at}/memory"), function.memory, MEMORY_MIN);
    context.longer_than_nothing(&format!("{at}/timeout"), function.timeout);
    if function.timeout > TIMEOUT_MAX {
        let message = format!("{} is too long: at most {TIMEOUT_MAX}", function.timeout);
        context.fault(&format!("{at}/timeout"), message, None);
    }
    context.longer_than_nothing(&format!("{at}/idle"), function.idle);
    context.longer_than_nothing(&format!("{at}/max_age"), function.max_age);
    if function.retries > RETRIES_MAX {
        let message = format!("{} is too many: at most {RETRIES_MAX}", function.retries);
        context.fault(&format!("{at}/retries"), message, None);
    }
    let concurrency = function.concurrency;
    context.within(&format!("{at}/concurrency/max"), u64::from(concurrency.max), 1, 10_000);
    if concurrency.reserved > concurrency.max {
        let message = format!("{} is more than `max` ({})", concurrency.reserved, concurrency.max);
        context.fault(&format!("{at}/concurrency/reserved"), message, None);
    }
    variables(context, at, function);
    match &function.on_failure {
        None => {}
        Some(Destination::Stream(stream)) => context.stream(&format!("{at}/on_failure/stream"), stream),
        Some(Destination::Function(other)) if other == name => {
            let message = "a function cannot be its own destination";
            context.fault(&format!("{at}/on_failure/function"), message, None);
        }
        Some(Destination::Function(other)) => {
            context.function(&format!("{at}/on_failure/function"), other);
        }
    }
}

fn handler(context: &mut Context<'_>, at: &str, function: &Function) {
    let pointer = format!("{at}/handler");
    if function.runtime == Runtime::Provided {
        return;
    }
    let hint = Some("write it like `handler.handle`: a file without its ending, and a function in it".into());
    match &function.handler {
        None => context.fault(at, "`handler` is missing", hint),
        Some(handler) => {
            let parts = handler.rsplit_once('.');
            if parts.is_none_or(|(module, name)| module.is_empty() || name.is_empty()) {
                context.fault(&pointer, format!("`{handler}` is not `module.function`"), hint);
            }
        }
    }
}

fn variables(context: &mut Context<'_>, at: &str, function: &Function) {
    let named = function.environment.keys().map(|name| (name, "environment"));
    for (name, section) in named.chain(function.secrets.keys().map(|name| (name, "secrets"))) {
        let pointer = child(&format!("{at}/{section}"), name);
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(legal) {
            context.fault_key(&pointer, format!("`{name}` is not the name of a variable"), None);
        }
        if section == "secrets" {
            context.by_reference(&pointer, "a secret");
            if function.environment.contains_key(name) {
                context.fault_key(&pointer, format!("`{name}` is under `environment` too"), None);
            }
        }
    }
}

fn check_workflow(context: &mut Context<'_>, at: &str, name: &str, workflow: &Workflow) {
    match &workflow.file {
        Some(file) => context.file(&format!("{at}/file"), file),
        None if workflow_file(context.dir, name).is_none() => {
            let message = format!("there is no file `workflows/{name}.asl.json` (or `.asl.yaml`)");
            let there = workflow_names(context.dir);
            let hint = suggest::hint(name, there.iter().map(String::as_str));
            context.fault_key(at, message, hint);
        }
        None => {}
    }
    context.longer_than_nothing(&format!("{at}/history"), workflow.history);
    context.within(&format!("{at}/max_events"), u64::from(workflow.max_events), 1, u64::from(u32::MAX));
    context.at_least(&format!("{at}/max_payload"), workflow.max_payload, ByteSize(1 << 10));
}

const WORKFLOW_ENDINGS: [&str; 2] = [".asl.json", ".asl.yaml"];

fn workflow_file(dir: &Path, name: &str) -> Option<PathBuf> {
    WORKFLOW_ENDINGS
        .iter()
        .map(|ending| dir.join("workflows").join(format!("{name}{ending}")))
        .find(|path| path.is_file())
}

/// Names of the workflows whose files lie in `workflows/`.
fn workflow_names(dir: &Path) -> Vec<String> {
    let entries =
        std::fs::read_dir(dir.join("workflows")).into_iter().flatten().take(super::files::MAX_LISTED);
    let mut names: Vec<String> = entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            WORKFLOW_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending).map(str::to_string))
        })
        .collect();
    names.sort();
    names
}

fn target(context: &mut Context<'_>, at: &str, target: &Target) {
    match target {
        Target::Workflow(name) => {
            let mut names = workflow_names(context.dir);
            names.extend(context.pipeline.workflows.keys().cloned());
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            context.member(&format!("{at}/workflow"), "workflow", "workflows", name, &names);
        }
        Target::Function(name) => context.function(&format!("{at}/function"), name),
        Target::Job(job) => {
            if let Some(stream) = &job.stream {
                context.stream(&format!("{at}/job/stream"), stream);
            }
        }
    }
}

/// `keyed:`, `notifiers:` and `connections:`.
fn reached(context: &mut Context<'_>) {
    let pipeline = context.pipeline;
    for (name, table) in &pipeline.keyed {
        let at = child("/keyed", name);
        context.plain_name(&at, name);
        context.not_empty(&format!("{at}/key"), &table.key, "the name of an attribute");
        match &table.sort {
            Some(sort) if *sort == table.key => {
                context.fault(&format!("{at}/sort"), format!("`{sort}` is the key already"), None);
            }
            Some(sort) => context.not_empty(&format!("{at}/sort"), sort, "the name of an attribute"),
            None => {}
        }
    }
    for (name, notifier) in &pipeline.notifiers {
        let at = child("/notifiers", name);
        context.plain_name(&at, name);
        context.http_address(&format!("{at}/webhook"), &notifier.webhook);
        if let Some(connection) = &notifier.connection {
            context.connection(&format!("{at}/connection"), connection);
        }
    }
    for (name, connection) in &pipeline.connections {
        let at = child("/connections", name);
        context.plain_name(&at, name);
        if let Some(url) = &connection.url {
            context.http_address(&format!("{at}/url"), url);
        }
        for header in connection.headers.keys() {
            let pointer = child(&format!("{at}/headers"), header);
            let legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if header.is_empty() || !header.chars().all(legal) {
                context.fault_key(&pointer, format!("`{header}` is not the name of a header"), None);
            } else if is_secret_header(header) {
                context.by_reference(&pointer, &format!("the secret of `{header}`"));
            }
        }
        if let Some(basic) = &connection.basic {
            context.not_empty(&format!("{at}/basic/user"), &basic.user, "a name");
            context.by_reference(&format!("{at}/basic/password"), "a password");
        }
    }
}

/// Headers that commonly carry a secret.
fn is_secret_header(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["auth", "cookie", "key", "token", "secret", "password"].iter().any(|word| name.contains(word))
}

fn aws(context: &mut Context<'_>) {
    let aws = &context.pipeline.aws;
    context.not_empty("/aws/region", &aws.region, "a region");
    if aws.account.len() != 12 || !aws.account.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("`{}` is not an account: 12 digits", aws.account);
        context.fault("/aws/account", message, None);
    }
    let mut seen = BTreeMap::new();
    for (index, key) in aws.keys.iter().enumerate() {
        let at = format!("/aws/keys/{index}");
        context.not_empty(&format!("{at}/id"), &key.id, "an access key id");
        context.by_reference(&format!("{at}/secret"), "a secret key");
        if let Some(first) = seen.insert(&key.id, index) {
            context.fault(&format!("{at}/id"), format!("`{}` is key {first} too", key.id), None);
        }
    }
}
