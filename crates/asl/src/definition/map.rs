//! The fields of a Map.

use super::build::{SECONDS_MAX, flow};
use super::fields::Fields;
use super::kinds::machine_language;
use super::{Batcher, ExecutionType, Flow, MapMode, MapState, Reader, ReaderConfig, Writer};
use crate::document::join;
use crate::{Setting, Template};
use serde_json::Value;

/// Longest `Label`, in characters.
const LABEL_CHARS_MAX: usize = 40;
/// Most items, bytes or failures that a field can bound.
const COUNT_MAX: u64 = 1_000_000_000;

pub(super) fn read(fields: &Fields<'_, '_>) -> Option<MapState> {
    fields.one_of(&["ItemProcessor", "Iterator"], true);
    fields.one_of(&["ItemSelector", "Parameters"], false);
    let processor = processor(fields);
    let count = |f: &Fields<'_, '_>, key: &str| {
        f.whole(key, 0, COUNT_MAX);
    };
    let percentage = |f: &Fields<'_, '_>, key: &str| {
        f.number(key, 0.0, 100.0);
    };
    let reader = fields.get("ItemReader").and_then(|v| reader(fields, v));
    let batcher = fields.get("ItemBatcher").and_then(|v| batcher(fields, v));
    let writer = fields.get("ResultWriter").and_then(|v| writer(fields, v));
    let label = fields.string("Label");
    let items = items(fields);
    let item_selector = fields
        .template("ItemSelector")
        .or_else(|| if fields.is_jsonata() { None } else { fields.template("Parameters") });
    let max_concurrency = fields.setting("MaxConcurrency", count);
    let tolerated_failure_count = fields.setting("ToleratedFailureCount", count);
    let tolerated_failure_percentage = fields.setting("ToleratedFailurePercentage", percentage);
    let (mode, execution_type, flow) = processor?;
    if mode == MapMode::Distributed {
        check_label(fields, label.as_deref());
    } else {
        for key in
            ["ItemReader", "ItemBatcher", "ResultWriter", "Label"].into_iter().filter(|key| fields.has(key))
        {
            fields.fault(key, format!("Field '{key}' is only supported for Map states in DISTRIBUTED mode"));
        }
    }
    Some(MapState {
        mode,
        execution_type,
        flow,
        items,
        item_selector,
        max_concurrency,
        tolerated_failure_count,
        tolerated_failure_percentage,
        reader,
        batcher,
        writer,
        label,
        legacy_iterator: fields.has("Iterator"),
    })
}

fn check_label(fields: &Fields<'_, '_>, label: Option<&str>) {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "?*<>{}[]:;,\\|^~$#%&`\"".contains(c);
    if label.is_some_and(|l| l.is_empty() || l.chars().nth(LABEL_CHARS_MAX).is_some() || l.contains(bad)) {
        let message = format!(
            "A label has 1 to {LABEL_CHARS_MAX} characters, no blanks, wildcards, brackets or special characters"
        );
        fields.fault("Label", message);
    }
}

fn processor(fields: &Fields<'_, '_>) -> Option<(MapMode, ExecutionType, Flow)> {
    let key = if fields.has("ItemProcessor") { "ItemProcessor" } else { "Iterator" };
    let pointer = fields.at(key);
    let outer = machine_language(fields);
    let inner = Fields::of(fields.reading, &pointer, fields.get(key)?, outer)?;
    inner.only(&["ProcessorConfig", "StartAt", "States", "Comment"], &[], &[]);
    let config_pointer = inner.at("ProcessorConfig");
    let config =
        inner.get("ProcessorConfig").and_then(|v| Fields::of(fields.reading, &config_pointer, v, outer));
    let (mut mode, mut execution_type) = (MapMode::Inline, ExecutionType::Standard);
    if let Some(config) = config {
        config.only(&["Mode", "ExecutionType"], &[], &[]);
        if config.choice("Mode", &["INLINE", "DISTRIBUTED"]).as_deref() == Some("DISTRIBUTED") {
            mode = MapMode::Distributed;
            config.require(&["ExecutionType"]);
        }
        if config.choice("ExecutionType", &["STANDARD", "EXPRESS"]).as_deref() == Some("EXPRESS") {
            execution_type = ExecutionType::Express;
        }
    }
    Some((mode, execution_type, flow(&inner, outer)?))
}

fn items(fields: &Fields<'_, '_>) -> Option<Setting> {
    if fields.is_jsonata() {
        return fields.template("Items").map(|template| {
            if let Template::Literal(value) = &template
                && !value.is_array()
            {
                fields.fault(
                    "Items",
                    "The value for the field 'Items' must be an array or a JSONata expression",
                );
            }
            Setting::of_template("Items", template)
        });
    }
    fields.setting("Items", |_, _| {})
}

fn reader(fields: &Fields<'_, '_>, value: &Value) -> Option<Reader> {
    let pointer = fields.at("ItemReader");
    let inner = object(fields, &pointer, value)?;
    inner.only(&["Resource", "ReaderConfig"], &["Parameters"], &["Arguments"]);
    inner.require(&["Resource"]);
    let config = match inner.get("ReaderConfig") {
        Some(value) => reader_config(&inner, value),
        None => ReaderConfig::default(),
    };
    let parameters = inner.template(if fields.is_jsonata() { "Arguments" } else { "Parameters" });
    Some(Reader { resource: inner.string("Resource")?, parameters, config })
}

fn object<'r>(fields: &'r Fields<'_, '_>, pointer: &'r str, value: &'r Value) -> Option<Fields<'r, 'r>> {
    Fields::of(fields.reading, pointer, value, fields.language)
}

fn reader_config(outer: &Fields<'_, '_>, value: &Value) -> ReaderConfig {
    let pointer = outer.at("ReaderConfig");
    let Some(config) = object(outer, &pointer, value) else { return ReaderConfig::default() };
    config.only(
        &[
            "InputType",
            "CSVHeaderLocation",
            "CSVHeaders",
            "CSVDelimiter",
            "MaxItems",
            "ManifestType",
            "Transformation",
            "ItemsPointer",
        ],
        &["MaxItemsPath"],
        &[],
    );
    let csv_header_location = config.choice("CSVHeaderLocation", &["FIRST_ROW", "GIVEN"]);
    if csv_header_location.as_deref() == Some("GIVEN") {
        config.require(&["CSVHeaders"]);
    }
    ReaderConfig {
        input_type: config.choice("InputType", &["CSV", "JSON", "JSONL", "PARQUET", "MANIFEST"]),
        csv_header_location,
        csv_headers: config.strings("CSVHeaders").unwrap_or_default(),
        csv_delimiter: config.choice("CSVDelimiter", &["COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"]),
        max_items: config.setting("MaxItems", |f, key| {
            f.whole(key, 0, COUNT_MAX);
        }),
        manifest_type: config.choice("ManifestType", &["ATHENA_DATA", "S3_INVENTORY"]),
        transformation: config.choice("Transformation", &["NONE", "LOAD_AND_FLATTEN"]),
        items_pointer: config.string("ItemsPointer"),
    }
}

fn batcher(fields: &Fields<'_, '_>, value: &Value) -> Option<Batcher> {
    let pointer = fields.at("ItemBatcher");
    let inner = object(fields, &pointer, value)?;
    inner.only(
        &["BatchInput", "MaxItemsPerBatch", "MaxInputBytesPerBatch"],
        &["MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"],
        &[],
    );
    let positive = |f: &Fields<'_, '_>, key: &str| {
        f.whole(key, 1, SECONDS_MAX);
    };
    let max_items = inner.setting("MaxItemsPerBatch", positive);
    let max_bytes = inner.setting("MaxInputBytesPerBatch", positive);
    if max_items.is_none() && max_bytes.is_none() {
        inner.one_of(
            &[
                "MaxItemsPerBatch",
                "MaxInputBytesPerBatch",
                "MaxItemsPerBatchPath",
                "MaxInputBytesPerBatchPath",
            ],
            true,
        );
    }
    Some(Batcher { input: inner.template("BatchInput"), max_items, max_bytes })
}

fn writer(fields: &Fields<'_, '_>, value: &Value) -> Option<Writer> {
    let pointer = fields.at("ResultWriter");
    let inner = object(fields, &pointer, value)?;
    inner.only(&["Resource", "WriterConfig"], &["Parameters"], &["Arguments"]);
    if !inner.has("Resource") && !inner.has("WriterConfig") {
        inner.require(&["Resource"]);
    }
    let (mut output_type, mut transformation) = (None, None);
    if let Some(value) = inner.get("WriterConfig") {
        let pointer = join(&pointer, "WriterConfig");
        if let Some(config) = object(&inner, &pointer, value) {
            config.only(&["OutputType", "Transformation"], &[], &[]);
            output_type = config.choice("OutputType", &["JSON", "JSONL"]);
            transformation = config.choice("Transformation", &["NONE", "COMPACT", "FLATTEN"]);
        }
    }
    let parameters = inner.template(if fields.is_jsonata() { "Arguments" } else { "Parameters" });
    Some(Writer { resource: inner.string("Resource"), parameters, output_type, transformation })
}
