//! The decoder: events in, one record batch out.

use crate::column::{Column, Data, Structs};
use crate::schema::EventSchema;
use crate::walk::{Scratch, Walk};
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use bourn_event::{Fault, RejectReason};

/// The events of one batch may add up to this much, in bytes: offsets into a column have 31 bits.
const BATCH_BYTES_MAX: usize = 1 << 30;

/// How events were checked since the decoder was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Events that the walk alone decided.
    pub fast: u64,
    /// Events that the `jsonschema` crate judged.
    pub judged: u64,
    /// Events refused, by either.
    pub refused: u64,
}

/// Decodes events of one schema into columns. One thread's own.
pub struct Decoder {
    schema: EventSchema,
    columns: Structs,
    extra: Column,
    rows: usize,
    event_bytes: usize,
    scratch: Scratch,
    stats: Stats,
}

impl Decoder {
    pub(crate) fn new(schema: EventSchema) -> Self {
        let columns = Structs::new(&schema.0.plan);
        Self {
            schema,
            columns,
            extra: Column::text(),
            rows: 0,
            event_bytes: 0,
            scratch: Scratch::default(),
            stats: Stats::default(),
        }
    }

    pub fn schema(&self) -> &EventSchema {
        &self.schema
    }

    /// Checks one event, a JSON object in UTF-8, and adds it as a row. On `Err` nothing is added.
    pub fn push(&mut self, event: &[u8]) -> Result<(), Box<Fault>> {
        let room = BATCH_BYTES_MAX - self.event_bytes;
        let pushed = self.limit(event, room).and_then(|text| self.read(text));
        match pushed {
            Ok(()) => {
                self.rows += 1;
                self.event_bytes += event.len();
            }
            Err(_) => {
                self.stats.refused += 1;
                self.roll_back();
            }
        }
        pushed
    }

    fn limit<'e>(&self, event: &'e [u8], room: usize) -> Result<&'e str, Box<Fault>> {
        let max = self.schema.0.options.max_event_bytes;
        if event.len() > max {
            let message = format!("the event has {} bytes, more than {max}", event.len());
            return Err(Box::new(Fault::new(RejectReason::TooLarge, message)));
        }
        if event.len() > room {
            let message = format!("the batch is full: its events may have {BATCH_BYTES_MAX} bytes");
            return Err(Box::new(Fault::new(RejectReason::TooLarge, message)));
        }
        std::str::from_utf8(event).map_err(|error| {
            let message = format!("not UTF-8 at byte {}", error.valid_up_to());
            Box::new(Fault::new(RejectReason::Parse, message))
        })
    }

    fn read(&mut self, text: &str) -> Result<(), Box<Fault>> {
        let compiled = &self.schema.0;
        self.scratch.keys.clear();
        self.scratch.extra.clear();
        let mut walk = Walk {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            max_depth: compiled.options.max_depth,
            scratch: &mut self.scratch,
            judge: compiled.judged,
            fault: None,
            misfit: None,
        };
        walk.space();
        if walk.peek() != b'{' {
            return Err(walk.broken(walk.at, "an event is a JSON object"));
        }
        walk.object(&compiled.plan, &mut self.columns, self.rows)?;
        walk.space();
        if walk.at < text.len() {
            return Err(walk.broken(walk.at, "something follows the object"));
        }
        let (judge, fault, misfit) = (walk.judge, walk.fault, walk.misfit);
        if let Some(fault) = fault {
            self.stats.fast += 1;
            return Err(fault);
        }
        if judge {
            self.stats.judged += 1;
            compiled.judge.judge(text)?;
        } else {
            self.stats.fast += 1;
        }
        match misfit {
            Some(misfit) => Err(misfit),
            None => {
                self.keep_extra();
                Ok(())
            }
        }
    }

    fn keep_extra(&mut self) {
        let members = &mut self.scratch.extra;
        if members.pop().is_none() {
            return;
        }
        self.extra.reach(self.rows);
        if let Data::Text(texts) = &mut self.extra.data {
            texts.bytes.push(b'{');
            texts.bytes.extend_from_slice(members);
            texts.bytes.push(b'}');
            texts.ends.push(texts.bytes.len() as i32);
            self.extra.rows = self.rows + 1;
        }
    }

    #[cold]
    fn roll_back(&mut self) {
        let rows = self.rows;
        self.columns.fields.iter_mut().for_each(|column| column.truncate(rows));
        self.extra.truncate(rows);
    }

    /// Rows in the batch so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Memory that the rows take, about: the events' own bytes and eight for each column.
    pub fn bytes(&self) -> usize {
        self.event_bytes + self.rows * 8 * (self.columns.fields.len() + 1)
    }

    /// Takes the rows as a batch and begins anew.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        self.event_bytes = 0;
        let mut columns: Vec<ArrayRef> =
            self.columns.fields.iter_mut().map(|column| column.finish(rows)).collect();
        columns.push(self.extra.finish(rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.arrow(), columns, &options)
            .expect("every column has as many rows as were pushed and its plan's type")
    }

    pub fn stats(&self) -> Stats {
        self.stats
    }
}
