//! The steps of a stream that call functions and APIs.

use super::Context;
use super::streams::key_list;
use crate::fault::child;
use crate::model::{Calls, FunctionStep, HttpMethod, HttpStep, Take, Transform};
use std::collections::BTreeMap;

/// Most events in a call of a function, and keys in a request.
const BATCH_MAX: u64 = 10_000;

/// Most calls at once.
const CONCURRENT_MAX: u64 = 256;

pub(super) fn transform(context: &mut Context<'_>, at: &str, transform: &Transform) {
    match transform {
        Transform::Sql(path) => context.file(at, path),
        Transform::Call(_) => {
            if let Some(function) = transform.function() {
                let at = format!("{at}/function");
                context.function(&format!("{at}/name"), &function.name);
                takes(context, &format!("{at}/columns"), &function.columns);
                calls(context, &at, function.calls());
            }
        }
    }
}

pub(super) fn function_step(context: &mut Context<'_>, at: &str, step: &FunctionStep) {
    context.function(&format!("{at}/name"), &step.name);
    takes(context, &format!("{at}/take"), &step.take);
    calls(context, at, step.calls());
}

fn calls(context: &mut Context<'_>, at: &str, calls: Calls) {
    context.within(&format!("{at}/batch"), calls.batch as u64, 1, BATCH_MAX);
    context.within(&format!("{at}/in_flight"), calls.in_flight as u64, 1, CONCURRENT_MAX);
    context.within(&format!("{at}/retries"), u64::from(calls.retries), 0, 10);
}

fn takes(context: &mut Context<'_>, at: &str, takes: &BTreeMap<String, Take>) {
    if takes.is_empty() {
        context.fault(at, "expected at least one column, found none", None);
    }
    for (name, take) in takes {
        let at = child(at, name);
        if name.trim().is_empty() {
            context.fault_key(&at, "a column needs a name", None);
        }
        if let Take::Pointed(column) = take
            && !column.from.is_empty()
            && !column.from.starts_with('/')
        {
            let message = format!("`{}` is not a JSON pointer", column.from);
            context.fault(&format!("{at}/from"), message, Some(format!("write `/{}`", column.from)));
        }
    }
}

pub(super) fn http_step(context: &mut Context<'_>, at: &str, step: &HttpStep) {
    let url = format!("{at}/url");
    context.http_address(&url, &step.url);
    if let Some(name) = &step.connection {
        context.connection(&format!("{at}/connection"), name);
        let only = context.pipeline.connections.get(name).and_then(|connection| connection.url.as_ref());
        if let Some(only) = only
            && !step.url.starts_with(only.as_str())
        {
            let message = format!("the connection `{name}` is for other addresses");
            context.fault(&url, message, Some("begin it as the connection's `url` does".into()));
        }
    }
    keys(context, at, step);
    takes(context, &format!("{at}/take"), &step.take);
    context.within(&format!("{at}/concurrency"), u64::from(step.concurrency), 1, CONCURRENT_MAX);
    context.longer_than_nothing(&format!("{at}/timeout"), step.timeout);
    context.at_least(&format!("{at}/max_answer"), step.max_answer, crate::model::ByteSize(1 << 10));
    context.within(&format!("{at}/retry/max"), u64::from(step.retry.max), 0, 100);
    context.longer_than_nothing(&format!("{at}/retry/initial"), step.retry.initial);
    if step.retry.max_delay < step.retry.initial {
        let message = format!("{} is shorter than `initial` ({})", step.retry.max_delay, step.retry.initial);
        context.fault(&format!("{at}/retry/max_delay"), message, None);
    }
    context.within(&format!("{at}/breaker/failures"), u64::from(step.breaker.failures), 1, 1_000_000);
    context.longer_than_nothing(&format!("{at}/breaker/open"), step.breaker.open);
    if let Some(cache) = &step.cache {
        context.at_least(&format!("{at}/cache/size"), cache.size, crate::model::ByteSize(64 << 10));
    }
}

fn keys(context: &mut Context<'_>, at: &str, step: &HttpStep) {
    if let Some(on) = &step.on {
        key_list(context, &format!("{at}/on"), on);
    }
    if let Some(batch) = step.batch {
        context.within(&format!("{at}/batch"), u64::from(batch), 1, BATCH_MAX);
        if step.body.is_some() {
            let message = "a request for many keys has a body of its own";
            context.fault(&format!("{at}/body"), message, Some("leave out `body` or `batch`".into()));
        } else if !step.placeholders().is_empty() {
            let message = "a request for many keys cannot name one in its address";
            let hint = "leave the field out of `url` and name it in `on`, or leave out `batch`";
            context.fault(&format!("{at}/url"), message, Some(hint.into()));
        }
    }
    let method = step.method();
    if method == HttpMethod::Get && (step.body.is_some() || step.batch.is_some()) {
        context.fault(&format!("{at}/method"), "a GET has no body", Some("use `POST`".into()));
    }
    let keys = step.key_fields();
    if keys.is_empty() {
        let message = "nothing says what is asked for";
        context.fault(
            at,
            message,
            Some("name a field in the address, like `…/{customer_id}`, or in `on`".into()),
        );
    }
    for name in step.placeholders().iter().filter(|name| !keys.contains(name)) {
        let message = format!("the answer depends on `{name}`, which `on` does not name");
        context.fault(&format!("{at}/on"), message, None);
    }
}
