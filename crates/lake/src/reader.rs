//! A table that somebody else writes, or nobody: reading only.

use crate::LakeError;
use crate::actions::Settled;
use crate::files::{DataFile, data_files};
use crate::handle::Handle;
use crate::lake::stored_shape;
use crate::log::{self, Commit};
use crate::options::Committed;
use crate::provider::{LakeProvider, Still};
use crate::recount::{Recount, recount};
use arrow::datatypes::SchemaRef;
use bourn_event::Micros;
use datafusion::catalog::TableProvider;
use deltalake_core::table::state::DeltaTableState;
use parking_lot::Mutex;
use std::sync::Arc;

/// A table opened for reading; it shows the state of its last [`TableReader::refresh`].
pub struct TableReader {
    handle: Handle,
    state: Mutex<Arc<DeltaTableState>>,
}

impl TableReader {
    pub(crate) async fn open(handle: Handle) -> Result<Arc<Self>, LakeError> {
        let listing = log::list(&handle).await?;
        if listing.commits.is_empty() && listing.checkpoint.is_none() {
            return Err(LakeError::NoTable { table: handle.name.to_string() });
        }
        let state = Mutex::new(Arc::new(handle.load(None).await?));
        Ok(Arc::new(Self { handle, state }))
    }

    fn state(&self) -> Arc<DeltaTableState> {
        self.state.lock().clone()
    }

    /// Moves on to the newest version.
    pub async fn refresh(&self) -> Result<(), LakeError> {
        let state = self.handle.refresh(&self.state()).await?;
        *self.state.lock() = Arc::new(state);
        Ok(())
    }

    pub fn schema(&self) -> SchemaRef {
        self.state().snapshot().arrow_schema()
    }

    pub fn provider(&self) -> Arc<dyn TableProvider> {
        let still = Still::new(self.handle.clone(), self.state().as_ref().clone());
        Arc::new(LakeProvider::new(Arc::new(still)))
    }

    pub async fn provider_at_version(&self, version: i64) -> Result<Arc<dyn TableProvider>, LakeError> {
        LakeProvider::at_version(&self.handle, version).await
    }

    pub async fn provider_at_time(&self, at: Micros) -> Result<Arc<dyn TableProvider>, LakeError> {
        self.provider_at_version(log::version_at(&self.handle, at.div_euclid(1000)).await?).await
    }

    /// How far the state that is shown is committed, read from the log.
    pub async fn committed(&self) -> Result<Committed, LakeError> {
        let version = self.state().version() as i64;
        let listing = log::list(&self.handle).await?;
        let txns = log::transactions(&self.handle, &listing, Some(version)).await?;
        let Settled { offset, event_time_max, counts, expired, replays } = Settled::from_txns(&txns);
        Ok(Committed { offset, counts, expired, event_time_max, replays, version })
    }

    pub async fn history(&self, limit: usize) -> Result<Vec<Commit>, LakeError> {
        log::history(&self.handle, limit).await
    }

    pub fn files(&self) -> Vec<DataFile> {
        data_files(&self.state())
    }

    pub async fn recount(&self) -> Result<Recount, LakeError> {
        let state = self.state();
        recount(&self.handle, &state, &stored_shape(&state, Vec::new()), 0..u64::MAX).await
    }
}
