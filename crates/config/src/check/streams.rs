//! `streams:` and `lookups:`: names, sources, stages, limits.

use super::{Context, outside};
use crate::fault::child;
use crate::model::{ByteSize, Enrich, FileSource, KeyList, LookupStep, Source, Stream};
use crate::suggest;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(context: &mut Context<'_>) {
    let pipeline = context.pipeline;
    for (name, lookup) in &pipeline.lookups {
        let at = child("/lookups", name);
        context.identifier(&at, name);
        context.file(&format!("{at}/file"), &lookup.file);
        key_list(context, &format!("{at}/key"), &lookup.key);
    }
    let mut watched = BTreeMap::new();
    for (name, stream) in &pipeline.streams {
        let at = child("/streams", name);
        context.identifier(&at, name);
        context.file(&format!("{at}/schema"), &stream.schema);
        if let Some(transform) = &stream.transform {
            outside::transform(context, &format!("{at}/transform"), transform);
        }
        sources(context, &at, name, stream, &mut watched);
        stages(context, &at, stream);
        limits(context, &at, stream);
    }
}

fn sources<'a>(
    context: &mut Context<'_>,
    at: &str,
    name: &str,
    stream: &'a Stream,
    watched: &mut BTreeMap<&'a str, String>,
) {
    let mut http = false;
    for (index, source) in stream.sources.iter().enumerate() {
        let at = format!("{at}/sources/{index}");
        match source {
            Source::Http(_) if http => {
                context.fault(&at, "a stream has one http source at most", Some("leave this one out".into()));
            }
            Source::Http(_) => http = true,
            Source::Files(files) => {
                let at = format!("{at}/files");
                file_source(context, &at, files);
                let path = files.path.strip_prefix("./").unwrap_or(&files.path);
                let here = format!("source {index} of the stream `{name}`");
                if let Some(other) = watched.insert(path, here) {
                    let message = format!("`{}` is watched by {other} too", files.path);
                    context.fault(
                        &format!("{at}/path"),
                        message,
                        Some("an event would be taken twice".into()),
                    );
                }
            }
        }
    }
}

fn file_source(context: &mut Context<'_>, at: &str, files: &FileSource) {
    if files.path.trim().is_empty() {
        context.fault(&format!("{at}/path"), "expected a glob, found nothing", None);
    } else if let Err(error) = glob::Pattern::new(&files.path) {
        let message =
            format!("`{}` is not a glob: {} (at character {})", files.path, error.msg, error.pos + 1);
        context.fault(&format!("{at}/path"), message, None);
    }
    if files.watch {
        context.longer_than_nothing(&format!("{at}/every"), files.every);
    }
    // A file that is moved to where it is looked for would be found again.
    if let (Some(done), Ok(pattern)) = (&files.done, glob::Pattern::new(&files.path)) {
        let probe = match files.path.rsplit_once('/') {
            Some((_, last)) => done.join(last.replace(['*', '?'], "x")),
            None => done.join(files.path.replace(['*', '?'], "x")),
        };
        if done.as_os_str().is_empty() || pattern.matches_path(&probe) && files.path.contains("**") {
            let message = format!("`{}` lies inside what is watched", done.display());
            context.fault(&format!("{at}/done"), message, None);
        }
    }
}

fn stages(context: &mut Context<'_>, at: &str, stream: &Stream) {
    if let Some(time) = &stream.event_time
        && time.field.trim().is_empty()
    {
        context.fault(&format!("{at}/event_time/field"), "expected the name of a field, found nothing", None);
    }
    if let Some(dedupe) = &stream.dedupe {
        key_list(context, &format!("{at}/dedupe/key"), &dedupe.key);
        context.longer_than_nothing(&format!("{at}/dedupe/window"), dedupe.window);
        context.at_least(&format!("{at}/dedupe/memory"), dedupe.memory, ByteSize::mib(1));
    }
    for (index, step) in stream.enrich.iter().enumerate() {
        let at = format!("{at}/enrich/{index}");
        match step {
            Enrich::Lookup(step) => lookup_step(context, &format!("{at}/lookup"), step),
            Enrich::Function(step) => outside::function_step(context, &format!("{at}/function"), step),
            Enrich::Http(step) => outside::http_step(context, &format!("{at}/http"), step),
        }
    }
    let mut columns = BTreeSet::new();
    for (index, partition) in stream.partition_by.iter().enumerate() {
        if !columns.insert(partition.table_column()) {
            let message = format!("the table is partitioned by `{partition}` already");
            context.fault(&format!("{at}/partition_by/{index}"), message, None);
        }
    }
}

fn lookup_step(context: &mut Context<'_>, at: &str, step: &LookupStep) {
    let lookups = &context.pipeline.lookups;
    key_list(context, &format!("{at}/on"), &step.on);
    match lookups.get(&step.table) {
        None => {
            let hint = suggest::hint(&step.table, lookups.keys().map(String::as_str))
                .or_else(|| Some("name it under `lookups`".into()));
            context.fault(&format!("{at}/table"), format!("there is no lookup `{}`", step.table), hint);
        }
        Some(lookup) if lookup.key.names().len() != step.on.names().len() => {
            let (key, on) = (lookup.key.names(), step.on.names().len());
            let message = format!("{on} field(s) for a key of {}: {}", key.len(), key.join(", "));
            context.fault(
                &format!("{at}/on"),
                message,
                Some("name a field for each column of the lookup's `key`".into()),
            );
        }
        Some(_) => {}
    }
    let mut seen = BTreeSet::new();
    for (index, column) in step.take.iter().enumerate() {
        if !seen.insert(column) {
            context.fault(&format!("{at}/take/{index}"), format!("`{column}` is taken already"), None);
        }
    }
}

pub(super) fn key_list(context: &mut Context<'_>, at: &str, keys: &KeyList) {
    let names = keys.names();
    if names.is_empty() || names.iter().any(|name| name.trim().is_empty()) {
        context.fault(at, "expected a name or a list of names, found nothing", None);
    }
    let distinct: BTreeSet<_> = names.iter().collect();
    if distinct.len() < names.len() {
        context.fault(at, "a name comes twice", None);
    }
}

fn limits(context: &mut Context<'_>, at: &str, stream: &Stream) {
    let log = &stream.log;
    let one = ByteSize::mib(1);
    context.at_least(&format!("{at}/log/segment"), log.segment, one);
    context.longer_than_nothing(&format!("{at}/log/segment_age"), log.segment_age);
    context.at_least(&format!("{at}/log/memory"), log.memory, one);
    if log.segment >= one && log.budget < log.segment {
        let message = format!("{} is less than a segment ({})", log.budget, log.segment);
        context.fault(&format!("{at}/log/budget"), message, None);
    }
    context.longer_than_nothing(&format!("{at}/commit/every"), stream.commit.every);
    context.at_least(&format!("{at}/commit/bytes"), stream.commit.bytes, ByteSize(64 << 10));
    let compaction = &stream.compaction;
    context.longer_than_nothing(&format!("{at}/compaction/every"), compaction.every);
    context.at_least(&format!("{at}/compaction/target"), compaction.target, one);
    context.at_least(&format!("{at}/compaction/memory"), compaction.memory, ByteSize::mib(8));
    if compaction.min_files < 2 {
        context.fault(&format!("{at}/compaction/min_files"), "must be at least 2", None);
    }
    if let Some(age) = stream.retention.age {
        context.longer_than_nothing(&format!("{at}/retention/age"), age);
    }
    context.at_least(&format!("{at}/max_event"), stream.max_event, ByteSize(64));
    if log.segment >= one && stream.max_event > log.segment {
        let message = format!("{} is more than a segment ({})", stream.max_event, log.segment);
        context.fault(&format!("{at}/max_event"), message, None);
    }
}
