//! CSV rows (RFC 4180) as events: the header's names, values by the types of the stream's columns.
//!
//! A field of a number or boolean column that reads as one becomes one; an empty field is null;
//! a field of a nested column that starts like JSON is JSON; everything else is a string, for the
//! decoder to judge.

use super::rows::{Broken, Row, Rows, Sizes};
use crate::pending::too_large;
use arrow::datatypes::{DataType, Schema};
use bourn_event::{Fault, RejectReason};
use csv_core::{ReadRecordResult, Reader};
use std::io::BufRead;

/// How a field is written into JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Boolean,
    Nested,
    Text,
}

impl Kind {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::Struct(_) | DataType::List(_) | DataType::LargeList(_) | DataType::Map(..) => {
                Self::Nested
            }
            _ if data_type.is_numeric() => Self::Number,
            _ => Self::Text,
        }
    }
}

/// The columns of a file, from its header.
pub(super) struct Header {
    /// `"name":` and how its values are written.
    columns: Vec<(String, Kind)>,
    /// Position of the first row.
    pub end: u64,
}

impl Header {
    /// Reads the header at the start of `input`; `None` if it has none yet.
    pub fn read(
        input: &mut dyn BufRead,
        schema: &Schema,
        complete: bool,
        sizes: Sizes,
    ) -> Result<Option<Self>, Broken> {
        let mut records = Records::new(sizes);
        if !records.read(input, complete)? {
            return Ok(None);
        }
        let mut columns: Vec<(String, Kind)> = Vec::new();
        for field in records.fields() {
            let name = std::str::from_utf8(field).map_err(|_| Broken("the header is not UTF-8".into()))?;
            let key = format!("{}:", serde_json::Value::from(name));
            if name.is_empty() || columns.iter().any(|(known, _)| *known == key) {
                return Err(Broken(format!("the header names the column `{name}` twice or not at all")));
            }
            let kind = schema.field_with_name(name).map_or(Kind::Text, |field| Kind::of(field.data_type()));
            columns.push((key, kind));
        }
        Ok(Some(Self { columns, end: records.len }))
    }

    fn write(&self, records: &Records, line: &mut Vec<u8>) -> Result<(), Fault> {
        let count = records.fields().count();
        if count != self.columns.len() {
            let message = format!("the row has {count} fields, the header {}", self.columns.len());
            return Err(Fault::new(RejectReason::Parse, message));
        }
        line.clear();
        for ((key, kind), field) in self.columns.iter().zip(records.fields()) {
            line.push(if line.is_empty() { b'{' } else { b',' });
            line.extend_from_slice(key.as_bytes());
            write_field(field, *kind, line)?;
        }
        line.push(b'}');
        Ok(())
    }
}

fn write_field(field: &[u8], kind: Kind, line: &mut Vec<u8>) -> Result<(), Fault> {
    let text =
        std::str::from_utf8(field).map_err(|_| Fault::new(RejectReason::Parse, "the row is not UTF-8"))?;
    let trimmed = text.trim();
    let bare = match kind {
        _ if field.is_empty() => "null",
        Kind::Number if is_number(trimmed) => trimmed,
        Kind::Boolean if trimmed.eq_ignore_ascii_case("true") => "true",
        Kind::Boolean if trimmed.eq_ignore_ascii_case("false") => "false",
        Kind::Nested if trimmed.starts_with(['{', '[']) && !text.contains('\n') => trimmed,
        _ => {
            return serde_json::to_writer(line, text)
                .map_err(|error| Fault::new(RejectReason::Parse, error.to_string()));
        }
    };
    line.extend_from_slice(bare.as_bytes());
    Ok(())
}

/// Is it a number as JSON writes them (RFC 8259 §6)?
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

/// Reads one record at a time.
struct Records {
    reader: Reader,
    sizes: Sizes,
    output: Vec<u8>,
    ends: Vec<usize>,
    output_len: usize,
    ends_len: usize,
    /// Bytes of input that the record took.
    len: u64,
    /// Was the record larger than an event may be? Then `output` holds its last part only.
    too_large: bool,
    /// The bytes of the record as they came, up to what a reject keeps.
    original: Vec<u8>,
}

impl Records {
    fn new(sizes: Sizes) -> Self {
        Self {
            reader: Reader::new(),
            sizes,
            output: vec![0; 4096],
            ends: vec![0; 64],
            output_len: 0,
            ends_len: 0,
            len: 0,
            too_large: false,
            original: Vec::new(),
        }
    }

    /// Reads the next record; `false` if there is none, or if it is cut off and not `complete`.
    fn read(&mut self, input: &mut dyn BufRead, complete: bool) -> std::io::Result<bool> {
        (self.output_len, self.ends_len, self.len, self.too_large) = (0, 0, 0, false);
        self.original.clear();
        loop {
            let bytes = input.fill_buf()?;
            if bytes.is_empty() && !complete {
                return Ok(false);
            }
            let (result, taken, written, ends) = self.reader.read_record(
                bytes,
                &mut self.output[self.output_len..],
                &mut self.ends[self.ends_len..],
            );
            let kept = self.sizes.max_reject.saturating_sub(self.original.len()).min(taken);
            self.original.extend_from_slice(&bytes[..kept]);
            input.consume(taken);
            self.len += taken as u64;
            self.output_len += written;
            self.ends_len += ends;
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.output.len() > self.sizes.max_event => {
                    (self.output_len, self.ends_len, self.too_large) = (0, 0, true);
                }
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() > self.sizes.max_event => {
                    (self.output_len, self.ends_len, self.too_large) = (0, 0, true);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => return Ok(true),
                ReadRecordResult::End => return Ok(false),
            }
        }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = &self.ends[..self.ends_len];
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends).map(|(start, end)| self.output.get(start..*end).unwrap_or_default())
    }
}

/// The rows behind a header.
pub(super) struct CsvRows {
    input: Box<dyn BufRead + Send>,
    header: Header,
    records: Records,
    position: u64,
    complete: bool,
    line: Vec<u8>,
}

impl CsvRows {
    /// `input` is at `position`, which is the start of a row.
    pub fn new(
        input: Box<dyn BufRead + Send>,
        header: Header,
        position: u64,
        complete: bool,
        sizes: Sizes,
    ) -> Self {
        Self { input, header, records: Records::new(sizes), position, complete, line: Vec::new() }
    }
}

impl Rows for CsvRows {
    fn next(&mut self) -> Result<Option<(u64, Row<'_>)>, Broken> {
        if !self.records.read(&mut *self.input, self.complete)? {
            return Ok(None);
        }
        let len = self.records.len;
        self.position += len;
        let fault = if self.records.too_large {
            Some(too_large(len, self.records.sizes.max_event))
        } else {
            self.header.write(&self.records, &mut self.line).err()
        };
        let row = match fault {
            None => Row::Line(&self.line),
            Some(fault) => Row::Bad { original: &self.records.original, len, fault },
        };
        Ok(Some((self.position, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::is_number;

    #[test]
    fn numbers_are_those_of_json() {
        for (text, expected) in [
            ("0", true),
            ("-12.50", true),
            ("1e9", true),
            ("1.5E-3", true),
            ("007", false),
            ("1.", false),
            (".5", false),
            ("+1", false),
            ("NaN", false),
            ("1e", false),
            ("", false),
            ("-", false),
        ] {
            assert_eq!(is_number(text), expected, "{text:?}");
        }
    }
}
