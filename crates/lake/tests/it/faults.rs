//! An object store that fails as it is told, and tells what it was asked.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happens to a put whose path contains a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Answered with an error, nothing stored: down, 5xx, timeout.
    Refuse,
    /// Stored, answered with an error: the answer is lost.
    LoseAnswer,
    /// Never answered, nothing stored: the process dies here.
    Hang,
    /// Answered "exists already" although nothing is there: a stray 409 or 412.
    Exists,
}

#[derive(Debug)]
struct Rule {
    part: &'static str,
    fault: Fault,
    left: u64,
}

/// See the module.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    rules: Mutex<Vec<Rule>>,
    pub faults: AtomicU64,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, rules: Mutex::default(), faults: AtomicU64::new(0) })
    }

    /// The next `times` puts whose path contains `part` meet `fault`.
    pub fn on_put(&self, part: &'static str, fault: Fault, times: u64) {
        self.rules.lock().push(Rule { part, fault, left: times });
    }

    pub fn heal(&self) {
        self.rules.lock().clear();
    }

    pub fn met(&self) -> u64 {
        self.faults.load(Ordering::SeqCst)
    }

    fn fault(&self, path: &Path) -> Option<Fault> {
        let mut rules = self.rules.lock();
        let rule = rules.iter_mut().find(|r| r.left > 0 && path.as_ref().contains(r.part))?;
        rule.left -= 1;
        Some(rule.fault)
    }
}

fn down() -> Error {
    Error::Generic { store: "FaultyStore", source: "503 Slow Down".into() }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let fault = self.fault(path);
        if matches!(fault, None | Some(Fault::LoseAnswer)) {
            let result = self.inner.put_opts(path, payload, options).await;
            if fault.is_none() {
                return result;
            }
        }
        self.faults.fetch_add(1, Ordering::SeqCst);
        match fault {
            None | Some(Fault::Refuse | Fault::LoseAnswer) => Err(down()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Exists) => {
                Err(Error::AlreadyExists { path: path.to_string(), source: "409 Conflict".into() })
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        match self.fault(path) {
            None => self.inner.put_multipart_opts(path, options).await,
            Some(_) => {
                self.faults.fetch_add(1, Ordering::SeqCst);
                Err(down())
            }
        }
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(path, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
