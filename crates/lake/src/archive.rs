//! Copies of finished log segments in the raw zone of a lake that is an object store.

use crate::handle::Handle;
use crate::{Lake, LakeError};
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use tokio::io::AsyncReadExt;

/// Read and sent at a time, in bytes; S3 takes no smaller part.
const PART_BYTES: usize = 8 << 20;
/// Parts under way at once.
const PARTS_UNDER_WAY: usize = 2;

impl Lake {
    /// Copies a local file to `to`, a path below `folder` of the lake, in parts. A copy that is cut
    /// off leaves nothing behind; one that is there already is replaced by equal bytes.
    pub async fn archive(&self, from: &std::path::Path, folder: &str, to: &str) -> Result<(), LakeError> {
        let handle = Handle::new(self.place(), folder)?;
        let unreadable = |error: std::io::Error| LakeError::unavailable(&handle.name, error);
        let mut file = tokio::fs::File::open(from).await.map_err(unreadable)?;
        let upload = handle.store.put_multipart(&Path::from(to)).await.map_err(|e| handle.store_error(e))?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut buffer = vec![0; PART_BYTES];
        loop {
            let count = file.read(&mut buffer).await.map_err(unreadable)?;
            if count == 0 {
                break;
            }
            parts.write(&buffer[..count]);
            parts.wait_for_capacity(PARTS_UNDER_WAY).await.map_err(|e| handle.store_error(e))?;
        }
        parts.finish().await.map_err(|e| handle.store_error(e))?;
        Ok(())
    }
}
