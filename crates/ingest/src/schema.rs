//! What this crate needs of a stream's schema, and the decoder crate's way of giving it.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bourn_event::Fault;

/// A compiled schema.
pub trait Schema: Send + Sync {
    /// The columns of decoded events.
    fn arrow(&self) -> SchemaRef;

    /// Names the schema in rejects.
    fn version(&self) -> &str;

    fn decoder(&self) -> Box<dyn Decode>;
}

/// Checks events and gathers their columns.
pub trait Decode: Send {
    /// Takes one event. With an error the columns are as they were.
    fn push(&mut self, event: &[u8]) -> Result<(), Box<Fault>>;

    /// How many events were taken since the last `finish`.
    fn rows(&self) -> usize;

    /// The events taken, one row each; the decoder is empty again.
    fn finish(&mut self) -> RecordBatch;
}

impl Schema for bourn_decode::EventSchema {
    fn arrow(&self) -> SchemaRef {
        self.arrow()
    }

    fn version(&self) -> &str {
        self.version()
    }

    fn decoder(&self) -> Box<dyn Decode> {
        Box::new(self.decoder())
    }
}

impl Decode for bourn_decode::Decoder {
    fn push(&mut self, event: &[u8]) -> Result<(), Box<Fault>> {
        self.push(event)
    }

    fn rows(&self) -> usize {
        self.len()
    }

    fn finish(&mut self) -> RecordBatch {
        self.finish()
    }
}
