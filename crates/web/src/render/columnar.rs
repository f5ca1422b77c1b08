//! Parquet files and Arrow IPC streams.

use super::BatchWriter;
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use parking_lot::Mutex;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};
use std::sync::Arc;

/// A row group is closed when it takes this much memory, so that an answer of any size fits.
const ROW_GROUP_BYTES_MAX: usize = 32 << 20;

/// Where the writers put their bytes, so that they can be taken while the writer goes on.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) struct ParquetWriter {
    writer: parquet::arrow::ArrowWriter<Sink>,
    sink: Sink,
}

impl ParquetWriter {
    pub(super) fn new(schema: SchemaRef) -> Result<Self, String> {
        let sink = Sink::default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("bourn".to_owned())
            .build();
        let writer = parquet::arrow::ArrowWriter::try_new(sink.clone(), schema, Some(properties))
            .map_err(|error| error.to_string())?;
        Ok(Self { writer, sink })
    }
}

impl BatchWriter for ParquetWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        self.writer.write(batch).map_err(|error| error.to_string())?;
        if self.writer.memory_size() > ROW_GROUP_BYTES_MAX {
            self.writer.flush().map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.writer.finish().map(|_| ()).map_err(|error| error.to_string())
    }

    fn take(&mut self) -> Vec<u8> {
        self.sink.take()
    }
}

pub(super) struct ArrowWriter {
    writer: StreamWriter<Sink>,
    sink: Sink,
}

impl ArrowWriter {
    pub(super) fn new(schema: &Schema) -> Result<Self, String> {
        let sink = Sink::default();
        let writer = StreamWriter::try_new(sink.clone(), schema).map_err(|error| error.to_string())?;
        Ok(Self { writer, sink })
    }
}

impl BatchWriter for ArrowWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        self.writer.write(batch).map_err(|error| error.to_string())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.writer.finish().map_err(|error| error.to_string())
    }

    fn take(&mut self) -> Vec<u8> {
        self.sink.take()
    }
}
