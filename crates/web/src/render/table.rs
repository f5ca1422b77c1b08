//! A table for people.
//!
//! The first rows (up to [`SAMPLE_ROWS_MAX`], or [`SAMPLE_BYTES_MAX`] of text) decide the widths; rows
//! after them are written as they come, a cell that is wider than its column pushes its line out.

use super::text::{Cells, is_number, json_options};
use super::{BatchWriter, TableStyle};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use std::fmt::Write;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const SAMPLE_ROWS_MAX: usize = 10_000;
const SAMPLE_BYTES_MAX: usize = 8 << 20;
/// Columns are not cut below this.
const NARROWEST: usize = 8;
const NULL: &str = "null";

pub(super) struct TableWriter {
    names: Vec<String>,
    right: Vec<bool>,
    terminal_width: Option<usize>,
    sample: Vec<Vec<String>>,
    sample_bytes: usize,
    /// Set when the header is written.
    widths: Option<Vec<usize>>,
    rows: u64,
    out: String,
}

impl TableWriter {
    pub(super) fn new(schema: SchemaRef, style: TableStyle) -> Self {
        Self {
            names: schema.fields().iter().map(|field| one_line(field.name())).collect(),
            right: schema.fields().iter().map(|field| is_number(field.data_type())).collect(),
            terminal_width: style.terminal_width,
            sample: Vec::new(),
            sample_bytes: 0,
            widths: None,
            rows: 0,
            out: String::new(),
        }
    }

    fn add(&mut self, row: Vec<String>) {
        self.rows += 1;
        if let Some(widths) = &self.widths {
            line(&row, widths, &self.right, self.terminal_width.is_some(), &mut self.out);
            return;
        }
        self.sample_bytes += row.iter().map(String::len).sum::<usize>();
        self.sample.push(row);
        if self.sample.len() >= SAMPLE_ROWS_MAX || self.sample_bytes >= SAMPLE_BYTES_MAX {
            self.begin();
        }
    }

    /// Writes the header and the sampled rows.
    fn begin(&mut self) {
        let mut widths: Vec<usize> = self.names.iter().map(|name| name.width()).collect();
        for row in &self.sample {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        let drawn = self.terminal_width.is_some();
        if let Some(terminal) = self.terminal_width {
            fit(&mut widths, terminal);
        }
        line(&self.names, &widths, &self.right, drawn, &mut self.out);
        rule(&widths, drawn, &mut self.out);
        for row in std::mem::take(&mut self.sample) {
            line(&row, &widths, &self.right, drawn, &mut self.out);
        }
        self.widths = Some(widths);
    }
}

impl BatchWriter for TableWriter {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let options = json_options();
        let mut cells = Cells::of(batch, &options)?;
        let mut text = String::new();
        for row in 0..batch.num_rows() {
            let mut line = Vec::with_capacity(batch.num_columns());
            for column in 0..batch.num_columns() {
                let there = cells.read(column, row, &mut text)?;
                line.push(if there { one_line(&text) } else { NULL.to_owned() });
            }
            self.add(line);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.widths.is_none() {
            self.begin();
        }
        let noun = if self.rows == 1 { "row" } else { "rows" };
        writeln!(self.out, "({} {noun})", self.rows).map_err(|error| error.to_string())
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out).into_bytes()
    }
}

/// Control characters as escapes, so that a value can neither break its line nor drive a terminal.
fn one_line(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        match c {
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
        line
    })
}

/// Narrows the widest columns until a line fits, or all are at their narrowest.
fn fit(widths: &mut [usize], terminal: usize) {
    let separators = 3 * widths.len().saturating_sub(1);
    let room = terminal.saturating_sub(separators);
    loop {
        let total: usize = widths.iter().sum();
        let widest = widths.iter().copied().max().unwrap_or(0);
        if total <= room || widest <= NARROWEST {
            return;
        }
        let second = widths.iter().copied().filter(|width| *width < widest).max().unwrap_or(0);
        let count = widths.iter().filter(|width| **width == widest).count();
        let narrower = widest.saturating_sub((total - room).div_ceil(count)).max(second).max(NARROWEST);
        widths.iter_mut().filter(|width| **width == widest).for_each(|width| *width = narrower);
    }
}

fn line(cells: &[String], widths: &[usize], right: &[bool], drawn: bool, out: &mut String) {
    let last = cells.len().saturating_sub(1);
    for (column, cell) in cells.iter().enumerate() {
        if column > 0 {
            out.push_str(if drawn { " │ " } else { " | " });
        }
        let cut = drawn.then(|| cut(cell, widths[column])).flatten();
        let cell = cut.as_deref().unwrap_or(cell);
        let room = widths[column].saturating_sub(cell.width());
        if right[column] {
            out.extend(std::iter::repeat_n(' ', room));
        }
        out.push_str(cell);
        if !right[column] && column < last {
            out.extend(std::iter::repeat_n(' ', room));
        }
    }
    out.push('\n');
}

fn rule(widths: &[usize], drawn: bool, out: &mut String) {
    for (column, width) in widths.iter().enumerate() {
        if column > 0 {
            out.push_str(if drawn { "─┼─" } else { "-+-" });
        }
        out.extend(std::iter::repeat_n(if drawn { '─' } else { '-' }, *width));
    }
    out.push('\n');
}

/// The cell cut to `width`, ending in `…`; `None` if it fits.
fn cut(cell: &str, width: usize) -> Option<String> {
    if cell.width() <= width {
        return None;
    }
    let mut taken = 0;
    let mut kept = String::new();
    for c in cell.chars() {
        let next = c.width().unwrap_or(0);
        if taken + next + 1 > width {
            break;
        }
        taken += next;
        kept.push(c);
    }
    kept.push('…');
    Some(kept)
}
