//! The JSON lines in which rejects and drops are kept in their logs (format v1).
//!
//! A reject: `{"reason","pointer"?,"keyword"?,"message","schema_version","source","offset"?,
//! "original" | "original_base64","original_len"?}`. `original` holds the event's bytes where they
//! are UTF-8, `original_base64` where they are not; `original_len` stands only where bytes were cut.
//! A drop: `{"offset","outcome","source","kept"?}`. The time of receipt and the producer are the frame's.

use crate::{Drop, Fault, Micros, Offset, Outcome, Producer, Reject, RejectReason};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

#[derive(Serialize, Deserialize)]
struct RejectLine<'a> {
    reason: RejectReason,
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    pointer: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "str::is_empty", borrow)]
    keyword: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    schema_version: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<Offset>,
    #[serde(default, skip_serializing_if = "Option::is_none", borrow)]
    original: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original_len: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct DropLine<'a> {
    offset: Offset,
    outcome: Outcome,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kept: Option<Offset>,
}

/// A line of a rejects' or outcomes' log that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("a record of the log cannot be read: {0}")]
pub struct RecordError(String);

impl Reject {
    /// Appends the reject's line, with its `\n`.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let text = std::str::from_utf8(&self.original).ok();
        let line = RejectLine {
            reason: self.fault.reason,
            pointer: Cow::Borrowed(&self.fault.pointer),
            keyword: Cow::Borrowed(&self.fault.keyword),
            message: Cow::Borrowed(&self.fault.message),
            schema_version: Cow::Borrowed(&self.schema_version),
            source: Cow::Borrowed(&self.source),
            offset: self.offset,
            original: text.map(Cow::Borrowed),
            original_base64: text.is_none().then(|| STANDARD.encode(&self.original)),
            original_len: (self.original_len != self.original.len() as u64).then_some(self.original_len),
        };
        write(&line, out);
    }

    /// Reads a line back; `received_at` and `producer` are those of the frame and span it lay in.
    pub fn read_line(
        line: &[u8],
        received_at: Micros,
        producer: Option<Producer>,
    ) -> Result<Self, RecordError> {
        let line: RejectLine<'_> = serde_json::from_slice(line).map_err(|e| RecordError(e.to_string()))?;
        let original = match (line.original, line.original_base64) {
            (Some(text), _) => Bytes::from(text.into_owned().into_bytes()),
            (None, Some(text)) => STANDARD.decode(text).map_err(|e| RecordError(e.to_string()))?.into(),
            (None, None) => Bytes::new(),
        };
        Ok(Self {
            fault: Fault {
                reason: line.reason,
                pointer: line.pointer.into_owned(),
                keyword: line.keyword.into_owned(),
                message: line.message.into_owned(),
            },
            schema_version: line.schema_version.into_owned(),
            source: line.source.into_owned(),
            producer,
            received_at,
            offset: line.offset,
            original_len: line.original_len.unwrap_or(original.len() as u64),
            original,
        })
    }
}

impl Drop {
    /// Appends the drop's line, with its `\n`.
    pub fn write_line(&self, out: &mut Vec<u8>) {
        let line = DropLine {
            offset: self.offset,
            outcome: self.outcome,
            source: Cow::Borrowed(&self.source),
            kept: self.kept,
        };
        write(&line, out);
    }

    pub fn read_line(line: &[u8]) -> Result<Self, RecordError> {
        let line: DropLine<'_> = serde_json::from_slice(line).map_err(|e| RecordError(e.to_string()))?;
        Ok(Self {
            offset: line.offset,
            outcome: line.outcome,
            source: line.source.as_ref().into(),
            kept: line.kept,
        })
    }
}

fn write<T: Serialize>(line: &T, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, line).is_err() {
        // Writing plain data to memory has no way to fail; never leave half a line if it did.
        out.truncate(start);
        return;
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(original: &'static [u8], original_len: u64) -> Reject {
        Reject {
            fault: Fault::new(RejectReason::Schema, "3 is less than the minimum of 5")
                .at("/quantity", "minimum"),
            schema_version: "a1b2".into(),
            source: "http".into(),
            producer: Some(Producer { id: "p".into(), sequence: 7 }),
            received_at: 5,
            offset: Some(9),
            original: Bytes::from_static(original),
            original_len,
        }
    }

    #[test]
    fn rejects_come_back_with_their_bytes() {
        for original in [b"{\"a\":\"\\u00e4 \\n\"}".as_slice(), b"", b"\xff\xfe\x00 not text", b"line\nbreak"]
        {
            let reject = reject(original, original.len() as u64 + 3);
            let mut line = Vec::new();
            reject.write_line(&mut line);
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line");
            let read = Reject::read_line(&line, reject.received_at, reject.producer.clone());
            assert_eq!(read.expect("own line"), reject);
        }
    }

    #[test]
    fn drops_come_back() {
        for kept in [None, Some(4)] {
            let drop = Drop { offset: 12, outcome: Outcome::Duplicate, source: "http".into(), kept };
            let mut line = Vec::new();
            drop.write_line(&mut line);
            assert_eq!(Drop::read_line(&line).expect("own line"), drop);
        }
    }
}
