//! A folder as an object store that survives power loss: a file is synced, then put in its place,
//! then its folder is synced, in this order, so that nobody ever sees a name without its bytes.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// The file system from its root, with synced writes.
#[derive(Debug)]
pub struct SyncedFolder {
    inner: Arc<LocalFileSystem>,
}

impl SyncedFolder {
    pub fn new() -> Self {
        Self { inner: Arc::new(LocalFileSystem::new()) }
    }
}

impl Default for SyncedFolder {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for SyncedFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SyncedFolder")
    }
}

fn generic(source: std::io::Error) -> Error {
    Error::Generic { store: "SyncedFolder", source: Box::new(source) }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::Generic { store: "SyncedFolder", source: Box::new(e) }))
}

/// Creates missing folders, syncing each one's parent so that the new name lasts.
fn create_folders(folder: &FilePath) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
        match std::fs::create_dir(folder) {
            Ok(()) => File::open(parent)?.sync_all()?,
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn sync_file_and_folder(file: &FilePath) -> std::io::Result<()> {
    File::open(file)?.sync_all()?;
    match file.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn put_synced(target: &FilePath, payload: &PutPayload, create_only: bool) -> Result<()> {
    let folder = target.parent().unwrap_or(FilePath::new("/"));
    create_folders(folder).map_err(generic)?;
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let staged = folder.join(format!("{name}#{}", uuid::Uuid::new_v4().as_u128()));
    let placed = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&staged)?;
        payload.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()?;
        if create_only {
            std::fs::hard_link(&staged, target)?;
            std::fs::remove_file(&staged)?;
        } else {
            std::fs::rename(&staged, target)?;
        }
        File::open(folder)?.sync_all()
    })();
    placed.map_err(|e| {
        let _ = std::fs::remove_file(&staged);
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::AlreadyExists { path: target.display().to_string(), source: Box::new(e) }
            }
            _ => generic(e),
        }
    })
}

#[async_trait]
impl ObjectStore for SyncedFolder {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let target = self.inner.path_to_filesystem(location)?;
        let create_only = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        blocking(move || put_synced(&target, &payload, create_only)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let target = self.inner.path_to_filesystem(location)?;
        let folder = target.parent().map(FilePath::to_path_buf).unwrap_or_default();
        blocking(move || create_folders(&folder).map_err(generic)).await?;
        let inner = self.inner.put_multipart_opts(location, options).await?;
        Ok(Box::new(SyncedUpload { inner, target }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let target = self.inner.path_to_filesystem(to)?;
        blocking(move || sync_file_and_folder(&target).map_err(generic)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let source = self.inner.path_to_filesystem(from)?;
        blocking(move || File::open(&source).and_then(|f| f.sync_all()).map_err(generic)).await?;
        self.inner.rename_opts(from, to, options).await?;
        let target = self.inner.path_to_filesystem(to)?;
        blocking(move || sync_file_and_folder(&target).map_err(generic)).await
    }
}

#[derive(Debug)]
struct SyncedUpload {
    inner: Box<dyn MultipartUpload>,
    target: PathBuf,
}

#[async_trait]
impl MultipartUpload for SyncedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        let target = self.target.clone();
        blocking(move || sync_file_and_folder(&target).map_err(generic)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
