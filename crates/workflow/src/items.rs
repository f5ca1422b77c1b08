//! Items of distributed Maps: read from objects, put into batches, and their results written.
//!
//! Follows the Step Functions guide on `ItemReader`, `ItemBatcher` and `ResultWriter`.

use crate::Objects;
use crate::api::ExecutionStatus;
use crate::machine::{Outcome, rfc3339};
use bourn_asl::{Reader, ReaderConfig, Writer, errors};
use bourn_event::TaskFailure;
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// Largest object that items are read from.
const OBJECT_BYTES_MAX: u64 = 256 << 20;

/// Most items of one map run.
const ITEMS_MAX: usize = 1_000_000;

/// Objects asked for at a time.
const LIST_PAGE: usize = 1_000;

fn fail(cause: impl Into<String>) -> TaskFailure {
    TaskFailure::new(errors::ITEM_READER_FAILED, cause)
}

/// Reads the items that an `ItemReader` names. `max` is `MaxItems`, evaluated; null and 0 are all.
pub async fn read(
    objects: &dyn Objects,
    reader: &Reader,
    parameters: &Value,
    max: &Value,
) -> Result<Vec<Value>, TaskFailure> {
    let max = match max {
        Value::Null => ITEMS_MAX,
        // A variable may hold the number as a text.
        value => match value.as_i64().or_else(|| value.as_str()?.parse().ok()) {
            Some(0) => ITEMS_MAX,
            Some(count) if count > 0 => usize::try_from(count).unwrap_or(ITEMS_MAX).min(ITEMS_MAX),
            Some(_) => return Err(fail("field MaxItems must be positive")),
            None => return Err(fail("field MaxItems must be an integer")),
        },
    };
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or_default();
    let bucket = text("Bucket");
    if reader.resource.ends_with(":listObjectsV2") {
        return list(objects, bucket, text("Prefix"), max).await;
    }
    let (key, kind) = (text("Key"), reader.config.input_type.as_deref().unwrap_or("JSON"));
    let body = objects.get(bucket, key, OBJECT_BYTES_MAX).await?;
    match kind {
        "MANIFEST" => manifest(objects, &reader.config, &body, max).await,
        "PARQUET" => objects.parquet(body, max).await,
        kind => parse(kind, &reader.config, &body, max),
    }
}

async fn list(
    objects: &dyn Objects,
    bucket: &str,
    prefix: &str,
    max: usize,
) -> Result<Vec<Value>, TaskFailure> {
    let mut items: Vec<Value> = Vec::new();
    let mut after: Option<String> = None;
    while items.len() < max {
        let page = objects.list(bucket, prefix, after.as_deref(), LIST_PAGE.min(max - items.len())).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        items.extend(page.iter().map(|object| {
            json!({
                "Etag": object.etag, "Key": object.key, "LastModified": object.modified_s,
                "Size": object.size, "StorageClass": "STANDARD",
            })
        }));
    }
    Ok(items)
}

/// An S3 inventory's manifest: the CSV files it lists, one after the other.
async fn manifest(
    objects: &dyn Objects,
    config: &ReaderConfig,
    body: &Bytes,
    max: usize,
) -> Result<Vec<Value>, TaskFailure> {
    let manifest: Value =
        serde_json::from_slice(body).map_err(|error| fail(format!("The manifest is not JSON: {error}")))?;
    let bucket = manifest.get("destinationBucket").and_then(Value::as_str).unwrap_or_default();
    let bucket = bucket.rsplit(":::").next().unwrap_or(bucket).to_owned();
    let schema = manifest.get("fileSchema").and_then(Value::as_str).unwrap_or_default();
    let headers: Vec<String> = schema.split(',').map(|name| name.trim().to_owned()).collect();
    let config =
        ReaderConfig { csv_header_location: Some("GIVEN".into()), csv_headers: headers, ..config.clone() };
    let mut items = Vec::new();
    for file in manifest.get("files").and_then(Value::as_array).into_iter().flatten() {
        let key = file.get("key").and_then(Value::as_str).unwrap_or_default();
        let body = objects.get(&bucket, key, OBJECT_BYTES_MAX).await?;
        items.extend(parse("CSV", &config, &body, max - items.len())?);
        if items.len() >= max {
            break;
        }
    }
    Ok(items)
}

fn parse(kind: &str, config: &ReaderConfig, body: &[u8], max: usize) -> Result<Vec<Value>, TaskFailure> {
    match kind {
        "CSV" => csv(config, body, max),
        "JSONL" => body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.trim_ascii().is_empty())
            .take(max)
            .map(|line| {
                serde_json::from_slice(line).map_err(|error| fail(format!("A line is not JSON: {error}")))
            })
            .collect(),
        "JSON" => {
            let value: Value = serde_json::from_slice(body)
                .map_err(|error| fail(format!("Attempting to parse the file as JSON failed: {error}")))?;
            let found = match &config.items_pointer {
                Some(pointer) => value.pointer(pointer).cloned().unwrap_or_default(),
                None => value,
            };
            let Value::Array(mut items) = found else {
                return Err(fail("Attempting to map over non-iterable node."));
            };
            items.truncate(max);
            Ok(items)
        }
        other => Err(fail(format!(
            "InputType {other} is not supported: use CSV, JSON, JSONL, PARQUET or MANIFEST"
        ))),
    }
}

fn csv(config: &ReaderConfig, body: &[u8], max: usize) -> Result<Vec<Value>, TaskFailure> {
    let delimiter = match config.csv_delimiter.as_deref() {
        Some("PIPE") => b'|',
        Some("SEMICOLON") => b';',
        Some("SPACE") => b' ',
        Some("TAB") => b'\t',
        _ => b',',
    };
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(body);
    let mut rows = reader.records();
    let given = config.csv_header_location.as_deref() == Some("GIVEN");
    let headers: Vec<String> = if given {
        config.csv_headers.clone()
    } else {
        match rows.next() {
            Some(row) => row.map_err(|error| fail(error.to_string()))?.iter().map(str::to_owned).collect(),
            None => Vec::new(),
        }
    };
    let mut items = Vec::new();
    for row in rows.take(max) {
        let row = row.map_err(|error| fail(error.to_string()))?;
        let mut item = Map::new();
        for (index, header) in headers.iter().enumerate() {
            item.insert(header.clone(), Value::from(row.get(index).unwrap_or_default()));
        }
        // What has no header gets the empty one, where the headers are the file's own.
        if !given && row.len() > headers.len() {
            item.insert(String::new(), row.get(headers.len()).unwrap_or_default().into());
        }
        items.push(Value::Object(item));
    }
    Ok(items)
}

/// Puts items into batches of at most so many and so many bytes; 0 is no bound.
pub fn batches(items: Vec<Value>, items_max: u64, bytes_max: u64, common: Option<&Value>) -> Vec<Value> {
    let mut batches: Vec<Vec<Value>> = Vec::new();
    let mut bytes = 0;
    for item in items {
        let size = item.to_string().len() as u64 + 1;
        let full = batches.last().is_none_or(|batch| {
            (items_max > 0 && batch.len() as u64 >= items_max) || (bytes_max > 0 && bytes + size > bytes_max)
        });
        if full {
            batches.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(batch) = batches.last_mut() {
            batch.push(item);
        }
    }
    let wrap = |items: Vec<Value>| {
        let mut batch = Map::new();
        if let Some(common) = common {
            batch.insert("BatchInput".into(), common.clone());
        }
        batch.insert("Items".into(), Value::Array(items));
        Value::Object(batch)
    };
    batches.into_iter().map(wrap).collect()
}

/// What came of one child.
pub struct ItemResult {
    pub input: Value,
    pub status: ExecutionStatus,
    pub outcome: Outcome,
}

/// What came of all.
pub struct Results<'a> {
    pub map_run_arn: &'a str,
    pub results: Vec<ItemResult>,
}

/// Writes results where a `ResultWriter` says; gives the Map's result.
pub async fn write(
    objects: &dyn Objects,
    writer: &Writer,
    parameters: &Value,
    results: Results<'_>,
) -> Result<Value, TaskFailure> {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str).unwrap_or_default();
    let (bucket, prefix) = (text("Bucket"), text("Prefix"));
    let run = results.map_run_arn.rsplit(':').next().unwrap_or_default();
    let folder = if prefix.is_empty() { run.to_owned() } else { format!("{prefix}/{run}") };
    let lines = writer.output_type.as_deref() == Some("JSONL");
    let mut files = Map::new();
    let kinds = [
        ("SUCCEEDED", ExecutionStatus::Succeeded),
        ("FAILED", ExecutionStatus::Failed),
        ("PENDING", ExecutionStatus::PendingRedrive),
    ];
    for (name, status) in kinds {
        let chosen: Vec<Value> =
            results.results.iter().filter(|r| is_kind(r.status, status)).map(|r| shown(writer, r)).collect();
        if chosen.is_empty() {
            files.insert(name.into(), json!([]));
            continue;
        }
        let key = format!("{folder}/{name}_0.{}", if lines { "jsonl" } else { "json" });
        let body = if lines {
            chosen.iter().map(|value| format!("{value}\n")).collect()
        } else {
            Value::Array(chosen).to_string()
        };
        let size = body.len();
        objects.put(bucket, &key, body.into()).await.map_err(unwritten)?;
        files.insert(name.into(), json!([{"Key": key, "Size": size}]));
    }
    let manifest =
        json!({"DestinationBucket": bucket, "MapRunArn": results.map_run_arn, "ResultFiles": files});
    let key = format!("{folder}/manifest.json");
    objects.put(bucket, &key, manifest.to_string().into()).await.map_err(unwritten)?;
    Ok(json!({
        "MapRunArn": results.map_run_arn,
        "ResultWriterDetails": {"Bucket": bucket, "Key": key},
    }))
}

fn unwritten(failure: TaskFailure) -> TaskFailure {
    TaskFailure::new(errors::RESULT_WRITER_FAILED, failure.cause)
}

fn is_kind(status: ExecutionStatus, kind: ExecutionStatus) -> bool {
    match kind {
        ExecutionStatus::Failed => {
            matches!(status, ExecutionStatus::Failed | ExecutionStatus::TimedOut | ExecutionStatus::Aborted)
        }
        other => status == other,
    }
}

fn shown(writer: &Writer, result: &ItemResult) -> Value {
    let output = result.outcome.output.as_ref().map(|output| output.value().clone());
    if matches!(writer.transformation.as_deref(), Some("COMPACT" | "FLATTEN")) {
        return output.unwrap_or_default();
    }
    json!({
        "Input": result.input.to_string(),
        "InputDetails": {"Included": true},
        "Output": output.map(|output| output.to_string()),
        "OutputDetails": {"Included": true},
        "Status": result.status.as_str(),
        "Error": result.outcome.error,
        "Cause": result.outcome.cause,
        "StopDate": rfc3339(result.outcome.ended_at),
    })
}
