//! A table's folder: its store, its Delta log store, and snapshots of it.

use crate::LakeError;
use crate::store::Place;
use deltalake_core::DeltaTableError;
use deltalake_core::logstore::{LogStore, StorageConfig, default_logstore};
use deltalake_core::table::state::DeltaTableState;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use std::sync::Arc;
use url::Url;

/// Files up to this size are stored in one request.
const SINGLE_PUT_BYTES: usize = 16 << 20;

/// Where a table is, and how to reach it. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    /// Its name, such as `silver/flights`.
    pub name: Arc<str>,
    /// Rooted at the table's folder.
    pub store: Arc<dyn ObjectStore>,
    /// Rooted at the scheme and authority of `url`.
    pub root: Arc<dyn ObjectStore>,
    pub url: Url,
    pub log: Arc<dyn LogStore>,
}

impl Handle {
    pub fn new(place: &Place, name: &str) -> Result<Self, LakeError> {
        let problem = |problem: String| LakeError::Storage { place: place.url.to_string(), problem };
        let url = place.url.join(&format!("{name}/")).map_err(|e| problem(e.to_string()))?;
        let path = Path::from_url_path(url.path()).map_err(|e| problem(e.to_string()))?;
        let store: Arc<dyn ObjectStore> = Arc::new(PrefixStore::new(place.store.clone(), path));
        let log = default_logstore(store.clone(), place.store.clone(), &url, &StorageConfig::default());
        Ok(Self { name: name.into(), store, root: place.store.clone(), url, log })
    }

    /// The table as it is at `version`, or now.
    pub async fn load(&self, version: Option<i64>) -> Result<DeltaTableState, LakeError> {
        let version = version.map(|v| v.max(0) as u64);
        DeltaTableState::try_new(self.log.as_ref(), version).await.map_err(|e| self.delta(e))
    }

    /// The state brought up to the log's end.
    pub async fn refresh(&self, state: &DeltaTableState) -> Result<DeltaTableState, LakeError> {
        let mut state = state.clone();
        state.update(self.log.as_ref(), None).await.map_err(|e| self.delta(e))?;
        Ok(state)
    }

    pub fn delta(&self, error: DeltaTableError) -> LakeError {
        LakeError::unavailable(&self.name, error)
    }

    pub fn store_error(&self, error: object_store::Error) -> LakeError {
        match error {
            object_store::Error::NotFound { path, source } => {
                LakeError::broken(&self.name, path, source.to_string())
            }
            other => LakeError::unavailable(&self.name, other),
        }
    }

    /// Stores a data file; large ones in parts.
    pub async fn upload(&self, path: &str, bytes: bytes::Bytes) -> Result<(), LakeError> {
        let path = Path::from(path);
        if bytes.len() <= SINGLE_PUT_BYTES {
            self.store.put(&path, bytes.into()).await.map_err(|e| self.store_error(e))?;
            return Ok(());
        }
        let upload = self.store.put_multipart(&path).await.map_err(|e| self.store_error(e))?;
        let mut parts = WriteMultipart::new(upload);
        parts.put(bytes);
        parts.finish().await.map_err(|e| self.store_error(e))?;
        Ok(())
    }
}
