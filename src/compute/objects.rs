//! Buckets of the lake, as a distributed Map reads its items from them and writes its results to them.

use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use async_trait::async_trait;
use bourn_asl::errors;
use bourn_event::TaskFailure;
use bourn_lake::{Lake, LakeError};
use bourn_workflow::{ObjectItem, Objects};
use bytes::Bytes;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::fmt::Display;
use std::sync::Arc;

pub struct Buckets(pub Arc<Lake>);

#[async_trait]
impl Objects for Buckets {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectItem>, TaskFailure> {
        let found = self.0.objects(bucket, prefix, after, max).await.map_err(failure)?;
        let item = |object: bourn_lake::StoredObject| ObjectItem {
            key: object.key,
            size: object.size_bytes,
            etag: object.etag,
            modified_s: object.modified_ms.div_euclid(1000),
        };
        Ok(found.into_iter().map(item).collect())
    }

    async fn get(&self, bucket: &str, key: &str, bytes_max: u64) -> Result<Bytes, TaskFailure> {
        match self.0.object(bucket, key, bytes_max).await.map_err(failure)? {
            Some(bytes) => Ok(bytes),
            None => {
                let cause = format!("The specified key does not exist: {bucket}/{key}.");
                Err(TaskFailure::new("S3.NoSuchKeyException", cause))
            }
        }
    }

    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<String, TaskFailure> {
        self.0.put_object(bucket, key, body).await.map_err(failure)
    }

    async fn parquet(&self, body: Bytes, rows_max: usize) -> Result<Vec<Value>, TaskFailure> {
        let read = tokio::task::spawn_blocking(move || rows(body, rows_max)).await;
        read.unwrap_or_else(|error| Err(unread(error)))
    }
}

/// Rows of a Parquet file. Columns that JSON has no type for are texts: times as ISO 8601, bytes in hex.
fn rows(body: Bytes, rows_max: usize) -> Result<Vec<Value>, TaskFailure> {
    let file = ParquetRecordBatchReaderBuilder::try_new(body).map_err(unread)?;
    let mut rows = Vec::new();
    for batch in file.with_limit(rows_max).build().map_err(unread)? {
        let mut json = Vec::new();
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut json);
        writer.write(&batch.map_err(unread)?).and_then(|()| writer.finish()).map_err(unread)?;
        drop(writer);
        if !json.is_empty() {
            rows.append(&mut serde_json::from_slice(&json).map_err(unread)?);
        }
    }
    Ok(rows)
}

fn unread(error: impl Display) -> TaskFailure {
    TaskFailure::new(errors::ITEM_READER_FAILED, format!("The Parquet file cannot be read: {error}"))
}

fn failure(error: LakeError) -> TaskFailure {
    let name = if error.is_retryable() { "S3.SdkClientException" } else { "S3.S3Exception" };
    TaskFailure::new(name, error.to_string())
}
