//! Compaction, retention, checkpoints and vacuum beside a writer.

use crate::lab::{DAY, Lab, START, assert_exact, events, number, stored};
use bourn_config::{Span, TableRetention};
use bourn_lake::TableOptions;

#[tokio::test(flavor = "multi_thread")]
async fn compaction_beside_commits_keeps_every_row_and_the_counters() {
    let lab = Lab::new();
    let table = lab.lake().table(lab.partitioned(&["who"])).await.unwrap();
    let writer = table.clone();
    let pushing = tokio::spawn(async move {
        for n in 0..20 {
            writer.push(events(n * 20, n * 20 + 20)).await.unwrap();
            writer.flush().await.unwrap();
        }
    });
    while !pushing.is_finished() {
        table.compact().await.unwrap();
        let rows = number(table.provider(), "select count(*) - count(distinct _offset) from t").await;
        assert_eq!(rows, 0);
    }
    pushing.await.unwrap();
    let report = table.compact().await.unwrap();
    assert_eq!(table.files().len(), 3, "{report:?}");
    assert_exact(&table, 400).await;
    table.close().await.unwrap();
    let again = lab.lake().table(lab.partitioned(&["who"])).await.unwrap();
    assert_exact(&again, 400).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_removes_whole_old_files_and_counts_them() {
    let lab = Lab::new();
    let retention = TableRetention { age: Some(Span::from_secs(86_400)) };
    let table = lab.lake().table(TableOptions { retention, ..lab.options() }).await.unwrap();
    for end in [1000, 2000, 3000] {
        table.push(events(end - 1000, end)).await.unwrap();
        table.flush().await.unwrap();
    }
    assert_eq!(table.expire().await.unwrap(), 0);
    lab.clock.set(START + DAY + 1500 * 60_000_000);
    assert_eq!(table.expire().await.unwrap(), 1);
    let gone = stored(1000);
    assert_eq!(number(table.provider(), "select count(*) from t").await, (stored(3000) - gone) as i64);
    assert_eq!(table.committed().expired["http"], gone);
    table.close().await.unwrap();
    assert_eq!(lab.open().await.committed().expired["http"], gone);
}

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_keep_the_ledger_and_vacuum_only_what_nobody_needs() {
    let lab = Lab::new();
    let table = lab.open().await;
    for n in 0..12 {
        table.push(events(n * 10, n * 10 + 10)).await.unwrap();
        table.flush().await.unwrap();
    }
    table.compact().await.unwrap();
    let parquet = || {
        let silver = lab.folder.path().join("silver/things");
        let names = std::fs::read_dir(silver).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|n| n.to_string_lossy().ends_with(".parquet")).count()
    };
    assert_eq!((table.vacuum().await.unwrap(), parquet()), (0, 13));
    lab.clock.set(START + 4000 * DAY);
    assert_eq!((table.vacuum().await.unwrap(), parquet()), (12, 1));
    let version = table.checkpoint().await.unwrap();
    assert_eq!(version, table.committed().version);
    table.push(events(120, 130)).await.unwrap();
    table.close().await.unwrap();
    assert_exact(&*lab.open().await, 130).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn maintenance_runs_when_it_is_due_and_reports() {
    let lab = Lab::new();
    let table = lab.open().await;
    for n in 0..9 {
        table.push(events(n * 10, n * 10 + 10)).await.unwrap();
        table.flush().await.unwrap();
    }
    let report = table.maintain().await.unwrap();
    assert_eq!((report.files_before, report.files_after, report.error), (9, 1, None));
    assert!(table.maintain().await.is_none(), "not due yet");
    assert_eq!(table.reports().len(), 1);
    assert_exact(&table, 90).await;
}
