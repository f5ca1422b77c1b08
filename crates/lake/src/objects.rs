//! Buckets: plain objects beside the tables, at `objects/<bucket>/<key>` of the lake. Workflows read
//! their items there and write their results there.

use crate::handle::Handle;
use crate::{Lake, LakeError};
use bytes::Bytes;
use futures::StreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

/// An object of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredObject {
    pub key: String,
    pub size_bytes: u64,
    /// As the store has it; empty if it has none.
    pub etag: String,
    /// Milliseconds since 1970.
    pub modified_ms: i64,
}

impl StoredObject {
    fn of(meta: ObjectMeta) -> Self {
        Self {
            key: meta.location.to_string(),
            size_bytes: meta.size,
            etag: meta.e_tag.unwrap_or_default(),
            modified_ms: meta.last_modified.timestamp_millis(),
        }
    }
}

impl Lake {
    /// The objects whose key begins with `prefix` and comes behind `after`, in the order of keys, at most `max`.
    pub async fn objects(
        &self,
        bucket: &str,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<StoredObject>, LakeError> {
        let bucket = self.bucket(bucket)?;
        // Stores list whole path segments; the rest of the prefix is held against the keys.
        let folder = prefix.rsplit_once('/').map(|(folder, _)| Path::from(folder));
        let mut listing = bucket.store.list(folder.as_ref());
        let mut found = Vec::new();
        while let Some(meta) = listing.next().await {
            let object = StoredObject::of(meta.map_err(|e| bucket.store_error(e))?);
            if object.key.starts_with(prefix) && after.is_none_or(|after| object.key.as_str() > after) {
                found.push(object);
            }
        }
        // Not every store lists in order.
        found.sort_by(|a, b| a.key.cmp(&b.key));
        found.truncate(max);
        Ok(found)
    }

    /// An object's bytes; `None` if there is no such object. Larger ones than `bytes_max` are refused
    /// before they are read.
    pub async fn object(&self, bucket: &str, key: &str, bytes_max: u64) -> Result<Option<Bytes>, LakeError> {
        let bucket = self.bucket(bucket)?;
        match bucket.store.get(&Path::from(key)).await {
            Ok(found) if found.meta.size > bytes_max => {
                let problem = format!("{key} has {} bytes, more than {bytes_max}", found.meta.size);
                Err(LakeError::Storage { place: bucket.url.to_string(), problem })
            }
            Ok(found) => Ok(Some(found.bytes().await.map_err(|e| bucket.store_error(e))?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(bucket.store_error(error)),
        }
    }

    /// Writes an object, replacing what was there; gives its etag.
    pub async fn put_object(&self, bucket: &str, key: &str, body: Bytes) -> Result<String, LakeError> {
        let bucket = self.bucket(bucket)?;
        let put = bucket.store.put(&Path::from(key), body.into()).await;
        put.map(|done| done.e_tag.unwrap_or_default()).map_err(|e| bucket.store_error(e))
    }

    fn bucket(&self, name: &str) -> Result<Handle, LakeError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.starts_with('.') || !name.chars().all(legal) {
            let problem = format!("`{name}` is not the name of a bucket: letters, digits, `-`, `_` and `.`");
            return Err(LakeError::Storage { place: "objects".into(), problem });
        }
        Handle::new(self.place(), &format!("objects/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bourn_config::Storage;

    #[tokio::test]
    async fn a_bucket_gives_back_what_was_put_in_order_of_keys() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::open(&Storage::default(), dir.path()).unwrap();
        for key in ["b/2.json", "b/10.json", "a.json"] {
            lake.put_object("results", key, Bytes::from(key)).await.unwrap();
        }
        let keys = async |prefix: &str, after: Option<&str>, max: usize| -> Vec<String> {
            let found = lake.objects("results", prefix, after, max).await.unwrap();
            found.into_iter().map(|object| object.key).collect()
        };
        assert_eq!(keys("", None, 9).await, ["a.json", "b/10.json", "b/2.json"]);
        assert_eq!(keys("b/", None, 1).await, ["b/10.json"]);
        assert_eq!(keys("b/2", None, 9).await, ["b/2.json"]);
        assert_eq!(keys("", Some("b/10.json"), 9).await, ["b/2.json"]);
        assert!(keys("c", None, 9).await.is_empty());
        assert_eq!(lake.object("results", "a.json", 6).await.unwrap().unwrap(), "a.json");
        assert_eq!(lake.object("results", "missing", 6).await.unwrap(), None);
        let large = lake.object("results", "a.json", 5).await.unwrap_err().to_string();
        assert!(large.contains("a.json has 6 bytes"), "{large}");
        for name in ["", "..", "a/b"] {
            assert!(lake.objects(name, "", None, 1).await.is_err(), "{name}");
        }
    }
}
