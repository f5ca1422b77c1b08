//! Copying rows of data files into new ones, row group by row group, inside a memory budget.

use crate::LakeError;
use crate::actions::Add;
use crate::committer::file_path;
use crate::encode;
use crate::files::DataFile;
use crate::handle::Handle;
use crate::partition::{PartitionKey, offsets};
use crate::reading::StoredFile;
use crate::shape::Shape;
use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use bourn_config::Compaction;
use bourn_event::Offset;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{ObjectStoreExt, WriteMultipart};
use parquet::arrow::ArrowWriter;
use parquet::arrow::ProjectionMask;
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use std::collections::HashMap;
use std::sync::Arc;

/// Rows read at a time.
const READ_ROWS: usize = 8192;
/// Files open at a time; a rewrite into more partitions closes the fullest first.
const OPEN_FILES: usize = 64;

/// Streams a file's rows: its own columns, and those its partition values stand for.
pub async fn read(
    handle: &Handle,
    file: &DataFile,
    shape: &Shape,
    columns: Option<&[&str]>,
) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
    let (table, path) = (handle.name.clone(), Path::from(file.path.as_str()));
    let reader = StoredFile::new(handle.store.clone(), path.clone(), Some(file.size_bytes));
    let broken = move |e: String| LakeError::broken(&table, &path, e);
    let mut builder =
        ParquetRecordBatchStreamBuilder::new(reader).await.map_err(|e| broken(e.to_string()))?;
    if let Some(columns) = columns {
        let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
        builder = builder.with_projection(mask);
    }
    let rows = builder.with_batch_size(READ_ROWS).build().map_err(|e| broken(e.to_string()))?;
    let constants: Vec<_> = shape
        .body
        .fields()
        .iter()
        .filter(|f| columns.is_none_or(|c| c.contains(&f.name().as_str())))
        .filter_map(|f| file.partition_values.get(f.name()).map(|v| (f.clone(), v.clone())))
        .collect();
    let stream = rows.map(move |batch| {
        let batch = batch.map_err(|e| broken(e.to_string()))?;
        let mut columns: Vec<(String, ArrayRef)> = batch
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .zip(batch.columns().iter().cloned())
            .collect();
        for (field, value) in &constants {
            let text: ArrayRef = Arc::new(StringArray::from(vec![value.as_deref(); batch.num_rows()]));
            let column = cast(&text, field.data_type()).map_err(|e| broken(e.to_string()))?;
            columns.push((field.name().clone(), column));
        }
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true)))
            .map_err(|e| broken(e.to_string()))
    });
    Ok(stream.boxed())
}

/// Writes rows into files of a shape, a file or more per partition.
pub struct Rewriter {
    handle: Handle,
    shape: Arc<Shape>,
    limits: Compaction,
    now_ms: i64,
    open: HashMap<PartitionKey, FileWriter>,
    done: Vec<Add>,
    /// `dataChange` of the files: false when the table's rows stay the same.
    pub data_change: bool,
}

struct FileWriter {
    path: String,
    writer: ArrowWriter<Vec<u8>>,
    parts: WriteMultipart,
    bytes: u64,
}

impl Rewriter {
    pub fn new(handle: Handle, shape: Arc<Shape>, limits: Compaction, now_ms: i64) -> Self {
        Self { handle, shape, limits, now_ms, open: HashMap::new(), done: Vec::new(), data_change: true }
    }

    /// Copies the rows of `file`, which has the shape `from`, whose offsets `keep` wants.
    pub async fn copy(
        &mut self,
        file: &DataFile,
        from: &Shape,
        keep: impl Fn(Offset) -> bool,
    ) -> Result<(), LakeError> {
        let mut rows = read(&self.handle, file, from, None).await?;
        while let Some(batch) = rows.next().await {
            let mut batch = batch?;
            if let Some(offsets) = offsets(&batch) {
                let wanted = BooleanArray::from_iter(offsets.iter().map(|o| o.map(|o| keep(o as Offset))));
                if wanted.true_count() < batch.num_rows() {
                    batch = filter_record_batch(&batch, &wanted).map_err(|e| self.rows_error(e))?;
                }
            }
            let body = self.shape.to_body(&batch).map_err(|e| self.rows_error(e))?;
            self.write(&body).await?;
        }
        Ok(())
    }

    fn rows_error(&self, error: impl ToString) -> LakeError {
        LakeError::rows(&self.handle.name, error)
    }

    /// Writes rows that have the shape's body columns.
    pub async fn write(&mut self, body: &RecordBatch) -> Result<(), LakeError> {
        if body.num_rows() == 0 {
            return Ok(());
        }
        for (key, part) in self.shape.split(body).map_err(|e| self.rows_error(e))? {
            let mut file = match self.open.remove(&key) {
                Some(file) => file,
                None => self.create(&key, &part).await?,
            };
            file = file.write(part, &self.handle).await?;
            if file.bytes >= self.limits.target.0 {
                self.close(key, file).await?;
            } else {
                self.open.insert(key, file);
            }
            self.shrink().await?;
        }
        Ok(())
    }

    async fn create(&mut self, key: &PartitionKey, sample: &RecordBatch) -> Result<FileWriter, LakeError> {
        let path = file_path(&self.shape, key);
        let upload = self
            .handle
            .store
            .put_multipart(&Path::from(path.as_str()))
            .await
            .map_err(|e| self.handle.store_error(e))?;
        let writer = encode::writer(Vec::new(), &self.shape.file, sample).map_err(|e| self.rows_error(e))?;
        Ok(FileWriter { path, writer, parts: WriteMultipart::new(upload), bytes: 0 })
    }

    /// Keeps what is buffered inside the budget, and the number of open files.
    async fn shrink(&mut self) -> Result<(), LakeError> {
        let fullest = |open: &HashMap<PartitionKey, FileWriter>| {
            open.iter().max_by_key(|(_, f)| f.writer.memory_size()).map(|(key, _)| key.clone())
        };
        while self.open.len() > OPEN_FILES {
            let Some(key) = fullest(&self.open) else { break };
            if let Some(file) = self.open.remove(&key) {
                self.close(key, file).await?;
            }
        }
        let budget = self.limits.memory.bytes() / 2;
        while self.open.values().map(|f| f.writer.memory_size()).sum::<usize>() > budget {
            let Some(key) = fullest(&self.open) else { break };
            let Some(file) = self.open.remove(&key) else { break };
            let file = file.flush(&self.handle).await?;
            self.open.insert(key, file);
        }
        Ok(())
    }

    async fn close(&mut self, key: PartitionKey, file: FileWriter) -> Result<(), LakeError> {
        let add = file.finish(&self.handle, &self.shape).await?;
        self.done.push(Add {
            partition_values: self.shape.values(&key),
            modification_time: self.now_ms,
            data_change: self.data_change,
            ..add
        });
        Ok(())
    }

    /// Finishes every file and hands them out.
    pub async fn finish(mut self) -> Result<Vec<Add>, LakeError> {
        let open: Vec<_> = self.open.drain().collect();
        for (key, file) in open {
            self.close(key, file).await?;
        }
        self.done.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(self.done)
    }
}

impl FileWriter {
    async fn write(self, batch: RecordBatch, handle: &Handle) -> Result<Self, LakeError> {
        self.encode(handle, move |writer| writer.write(&batch)).await
    }

    async fn flush(self, handle: &Handle) -> Result<Self, LakeError> {
        self.encode(handle, ArrowWriter::flush).await
    }

    /// Runs the encoder off the async threads, then passes on what it put out.
    async fn encode<T: Send + 'static>(
        mut self,
        handle: &Handle,
        work: impl FnOnce(&mut ArrowWriter<Vec<u8>>) -> parquet::errors::Result<T> + Send + 'static,
    ) -> Result<Self, LakeError> {
        let mut writer = self.writer;
        let (writer, result) = tokio::task::spawn_blocking(move || {
            let result = work(&mut writer);
            (writer, result)
        })
        .await
        .map_err(|e| LakeError::unavailable(&handle.name, e))?;
        result.map_err(|e| LakeError::rows(&handle.name, e))?;
        self.writer = writer;
        self.pass_on(handle).await?;
        Ok(self)
    }

    async fn pass_on(&mut self, handle: &Handle) -> Result<(), LakeError> {
        let bytes = std::mem::take(self.writer.inner_mut());
        if !bytes.is_empty() {
            self.bytes += bytes.len() as u64;
            self.parts.put(bytes.into());
            self.parts.wait_for_capacity(2).await.map_err(|e| handle.store_error(e))?;
        }
        Ok(())
    }

    async fn finish(mut self, handle: &Handle, shape: &Shape) -> Result<Add, LakeError> {
        let metadata = self.writer.finish().map_err(|e| LakeError::rows(&handle.name, e))?;
        let stats = encode::stats(&metadata, &shape.file).map_err(|e| LakeError::rows(&handle.name, e))?;
        self.pass_on(handle).await?;
        self.parts.finish().await.map_err(|e| handle.store_error(e))?;
        Ok(Add {
            path: self.path,
            partition_values: Default::default(),
            size: self.bytes as i64,
            modification_time: 0,
            data_change: true,
            stats: Some(stats),
        })
    }
}
