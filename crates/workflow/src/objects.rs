//! The objects seam: what a distributed Map reads its items from and writes its results to.

use async_trait::async_trait;
use bourn_asl::errors;
use bourn_event::TaskFailure;
use bytes::Bytes;
use serde_json::Value;

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectItem {
    pub key: String,
    pub size: u64,
    /// As the store has it, in quotes or not.
    pub etag: String,
    /// Seconds since 1970.
    pub modified_s: i64,
}

/// Reads and writes objects, with the words of S3: a bucket holds bodies by key. What a bucket is, is
/// the pipeline's matter. Errors carry the names S3 gives them (`S3.NoSuchKeyException`,
/// `S3.NoSuchBucketException`).
#[async_trait]
pub trait Objects: Send + Sync {
    /// The objects whose key begins with `prefix`, in the order of keys; at most `max`, from behind `after`.
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<ObjectItem>, TaskFailure>;

    /// The whole of an object, refused if it has more than `bytes_max`.
    async fn get(&self, bucket: &str, key: &str, bytes_max: u64) -> Result<Bytes, TaskFailure>;

    /// Writes it, replacing what was there; gives the etag.
    async fn put(&self, bucket: &str, key: &str, body: Bytes) -> Result<String, TaskFailure>;

    /// The first `rows_max` rows of an Apache Parquet file, each a JSON object with a field per column.
    async fn parquet(&self, body: Bytes, rows_max: usize) -> Result<Vec<Value>, TaskFailure> {
        let _ = (body, rows_max);
        Err(TaskFailure::new(errors::ITEM_READER_FAILED, "InputType PARQUET cannot be read here"))
    }
}

/// There are none: every call fails.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObjects;

impl NoObjects {
    fn refuse<T>(bucket: &str) -> Result<T, TaskFailure> {
        Err(TaskFailure::new("S3.NoSuchBucketException", format!("There is no bucket `{bucket}`.")))
    }
}

#[async_trait]
impl Objects for NoObjects {
    async fn list(
        &self,
        bucket: &str,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<ObjectItem>, TaskFailure> {
        Self::refuse(bucket)
    }

    async fn get(&self, bucket: &str, _: &str, _: u64) -> Result<Bytes, TaskFailure> {
        Self::refuse(bucket)
    }

    async fn put(&self, bucket: &str, _: &str, _: Bytes) -> Result<String, TaskFailure> {
        Self::refuse(bucket)
    }
}
