//! Rebuilding while the stream goes on.

use crate::lab::{Lab, assert_exact, events, number, rows, schema, stored};
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::DataType;
use bourn_config::Partition;
use bourn_event::Outcome;
use std::collections::BTreeMap;
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_replaced_while_pushes_go_on() {
    let lab = Lab::new();
    let table = lab.open().await;
    for n in 0..4 {
        table.push(events(n * 100, n * 100 + 100)).await.unwrap();
        table.flush().await.unwrap();
    }
    let mut rebuild = table.rebuild(&lab.options().schema, &[]).unwrap();
    rebuild.write(events(150, 250)).await.unwrap();
    assert_eq!(rebuild.counts()[&(Outcome::Stored, "http".to_string())], 90);
    table.push(events(400, 500)).await.unwrap();
    let rebuilt = rebuild.finish(150..250, &BTreeMap::new(), 1).await.unwrap();
    assert_eq!((rebuilt.rows, rebuilt.files_removed), (90, 2));
    table.push(events(500, 510)).await.unwrap();
    table.close().await.unwrap();
    assert_exact(&table, 510).await;
    assert_exact(&*lab.open().await, 510).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_rebuild_changes_columns_partitions_and_counts_at_once() {
    let lab = Lab::new();
    let table = lab.open().await;
    table.push(events(0, 100)).await.unwrap();
    table.flush().await.unwrap();
    table.push(events(100, 120)).await.unwrap();
    let columns = schema(&[("n", DataType::Utf8), ("twice", DataType::Int64), ("who", DataType::Utf8)]);
    let by = [Partition::parse("day(_received_at)").unwrap()];
    let mut rebuild = table.rebuild(&columns, &by).unwrap();
    let kept: Vec<i64> = (0..100).collect();
    let twice: ArrayRef = Arc::new(Int64Array::from_iter_values(kept.iter().map(|n| n * 2)));
    rebuild.write(rows(0, 100, &kept, vec![("n", twice.clone()), ("twice", twice)])).await.unwrap();
    let key = |outcome| (outcome, "http".to_string());
    let adjust = BTreeMap::from([(key(Outcome::Stored), 10), (key(Outcome::Duplicate), -10)]);
    rebuild.finish(0..100, &adjust, 2).await.unwrap();
    let total = (100 + stored(120) - stored(100)) as i64;
    for _ in 0..2 {
        assert_eq!(number(table.provider(), "select count(*) from t").await, total);
        assert_eq!(number(table.provider(), "select sum(twice) from t").await, 9900);
        let day = "select count(*) from t where _received_at_day = '2024-01-01'";
        assert_eq!(number(table.provider(), day).await, total);
        table.flush().await.unwrap();
    }
    let committed = table.committed();
    assert_eq!(committed.counts[&key(Outcome::Stored)], total as u64);
    assert_eq!(committed.counts[&key(Outcome::Duplicate)], 2);
    assert_eq!(table.recount().await.unwrap().offsets.len(), total as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_dropped_or_reaches_too_far_changes_nothing() {
    let lab = Lab::new();
    let table = lab.open().await;
    table.push(events(0, 100)).await.unwrap();
    table.flush().await.unwrap();
    let mut rebuild = table.rebuild(&lab.options().schema, &[]).unwrap();
    rebuild.write(events(0, 50)).await.unwrap();
    drop(rebuild);
    let rebuild = table.rebuild(&lab.options().schema, &[]).unwrap();
    assert!(rebuild.finish(0..101, &BTreeMap::new(), 3).await.is_err());
    assert_exact(&table, 100).await;
}
