//! How ledgers are printed.

use crate::cli::Outcome;
use crate::ledger::Proof;
use anyhow::Result;
use bourn_event::{Counts, Ledger};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const COLUMNS: [&str; 7] = ["received", "stored", "duplicate", "rejected", "filtered", "late", "in_flight"];

/// `1 row`, `2 rows`.
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn row(counts: &Counts) -> [u64; 7] {
    let Counts { received, stored, duplicate, rejected, filtered, late, in_flight } = *counts;
    [received, stored, duplicate, rejected, filtered, late, in_flight]
}

/// The ledger as a script reads it: by stream, and below each its sources.
pub fn ledgers_json(ledgers: &BTreeMap<String, Ledger>) -> Result<Value> {
    Ok(serde_json::to_value(ledgers)?)
}

pub fn print_ledgers(ledgers: &BTreeMap<String, Ledger>, json: bool) -> Result<()> {
    if json {
        println!("{}", ledgers_json(ledgers)?);
        return Ok(());
    }
    print!("{}", ledgers_text(ledgers));
    Ok(())
}

/// A table, and whether each stream balances.
pub fn ledgers_text(ledgers: &BTreeMap<String, Ledger>) -> String {
    let mut rows = vec![header()];
    for (stream, ledger) in ledgers {
        rows.push(cells(stream, &ledger.total));
        if ledger.sources.len() > 1 {
            rows.extend(ledger.sources.iter().map(|(source, counts)| cells(&format!("  {source}"), counts)));
        }
    }
    let mut text = aligned(&rows);
    for (stream, ledger) in ledgers {
        let says = if ledger.balances() { "balances" } else { "DOES NOT BALANCE" };
        text.push_str(&format!(
            "{stream} {says}: {} received = {} settled + {} in flight\n",
            ledger.total.received,
            ledger.total.settled(),
            ledger.total.in_flight
        ));
    }
    text
}

/// `--prove` as a script reads it: each number as it was counted and recounted.
pub fn proofs_json(proofs: &BTreeMap<String, Proof>) -> Value {
    let streams = proofs.iter().map(|(stream, proof)| {
        let (counted, recounted) = (row(&proof.counted.total), row(&proof.recounted.total));
        let mut columns: Map<String, Value> = Map::new();
        for (index, name) in COLUMNS.into_iter().enumerate() {
            columns.insert(name.into(), json!({"counted": counted[index], "recounted": recounted[index]}));
        }
        columns.insert("faults".into(), json!(proof.faults));
        columns.insert("proven".into(), json!(proof.holds()));
        (stream.clone(), Value::Object(columns))
    });
    Value::Object(streams.collect())
}

pub fn proofs_text(proofs: &BTreeMap<String, Proof>) -> String {
    let mut text = String::new();
    for (stream, proof) in proofs {
        let (counted, recounted) = (row(&proof.counted.total), row(&proof.recounted.total));
        let mut rows = vec![[stream.as_str(), "counted", "recounted", ""].map(String::from).to_vec()];
        for (index, name) in COLUMNS.into_iter().enumerate() {
            let mark = if counted[index] == recounted[index] { "" } else { "DIFFERS" };
            rows.push(vec![
                name.into(),
                counted[index].to_string(),
                recounted[index].to_string(),
                mark.into(),
            ]);
        }
        text.push_str(&aligned(&rows));
        for fault in &proof.faults {
            text.push_str(&format!("  {fault}\n"));
        }
        let says = if proof.holds() { "proven: every event is accounted for" } else { "NOT PROVEN" };
        text.push_str(&format!("{stream} {says}\n"));
    }
    text
}

/// Objects as a table of these columns, or as JSON with all they hold.
pub fn print_rows(rows: &Value, columns: &[&str], json: bool) -> Outcome {
    if json {
        println!("{rows}");
        return Ok(());
    }
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut table = vec![columns.iter().map(|column| column.replace('_', " ")).collect::<Vec<_>>()];
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    table.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()));
    print!("{}", lined_up(&table, |_| false));
    Ok(())
}

fn header() -> Vec<String> {
    std::iter::once("stream").chain(COLUMNS).map(String::from).collect()
}

fn cells(name: &str, counts: &Counts) -> Vec<String> {
    std::iter::once(name.to_string()).chain(row(counts).iter().map(u64::to_string)).collect()
}

/// Columns side by side: the first to the left, numbers to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    lined_up(rows, |column| column > 0)
}

fn lined_up(rows: &[Vec<String>], is_right: impl Fn(usize) -> bool) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| match is_right(column) {
            false => format!("{cell:<width$}", width = widths[column]),
            true => format!("{cell:>width$}", width = widths[column]),
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_does_not_balance_says_so() {
        let counts = Counts { received: 3, stored: 1, in_flight: 1, ..Counts::default() };
        let ledger = Ledger::of([("http".to_string(), counts)].into());
        let text = ledgers_text(&[("flights".to_string(), ledger)].into());
        assert!(text.contains("flights DOES NOT BALANCE: 3 received = 1 settled + 1 in flight"), "{text}");
    }

    #[test]
    fn a_difference_is_marked() {
        let of = |stored| {
            Ledger::of([("http".to_string(), Counts { received: 3, stored, ..Counts::default() })].into())
        };
        let proof = Proof { counted: of(3), recounted: of(2), faults: Vec::new() };
        assert!(!proof.holds());
        let text = proofs_text(&[("flights".to_string(), proof)].into());
        assert!(text.contains("stored           3          2  DIFFERS"), "{text}");
    }
}
