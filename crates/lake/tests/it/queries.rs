//! Queries: the committed rows and the tail, cut at one offset.

use crate::lab::{DAY, Lab, START, ask, events, number, stored};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pushed_is_in_the_next_query_before_and_after_its_commit() {
    let lab = Lab::new();
    for options in [lab.options(), lab.partitioned(&["day(_received_at)", "who"])] {
        let name = format!("silver/t{}", options.partition_by.len());
        let table = lab.lake().table(bourn_lake::TableOptions { name, ..options }).await.unwrap();
        let check = async |sql: &str, expected: i64| {
            assert_eq!(number(table.provider(), sql).await, expected, "{sql}");
        };
        for end in [1000, 2000, 3000] {
            table.push(events(end - 1000, end)).await.unwrap();
            if end == 2000 {
                table.flush().await.unwrap();
            }
            check("select count(*) from t", stored(end) as i64).await;
            check("select count(distinct _offset) from t", stored(end) as i64).await;
            check(
                "select count(*) from t where who = 'ann'",
                (0..end as i64).filter(|o| o % 10 != 9 && o % 3 == 0).count() as i64,
            )
            .await;
            check("select max(n) from t where n < 950", 948).await;
            check("select count(*) from (select n from t where n >= 100 limit 7)", 7).await;
        }
        let cut = START + DAY;
        let sql = format!("select count(*) from t where _received_at < to_timestamp_micros({cut})");
        check(&sql, stored(1440) as i64).await;
        table.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_during_commits_sees_each_offset_once_and_none_missing() {
    let lab = Lab::new();
    let table = lab.open().await;
    let writer = table.clone();
    let pushing = tokio::spawn(async move {
        for n in 0..60 {
            writer.push(events(n * 50, n * 50 + 50)).await.unwrap();
            if n % 5 == 4 {
                writer.flush().await.unwrap();
            }
        }
    });
    let visible = table.visible();
    while !pushing.is_finished() {
        let before = *visible.borrow();
        let sql = "select count(*), count(distinct _offset), max(_offset) from t";
        let batches = ask(table.provider(), sql).await;
        let value = |column: usize| {
            use arrow::array::{Array, AsArray};
            let column = batches[0].column(column).as_primitive::<arrow::datatypes::Int64Type>();
            if column.is_null(0) { -1 } else { column.value(0) }
        };
        assert_eq!(value(0), value(1), "an offset was seen twice");
        assert_eq!(value(0), stored((value(2) + 1) as u64) as i64, "an offset is missing");
        assert!(value(2) + 2 >= before as i64, "what was visible is gone");
    }
    pushing.await.unwrap();
    table.close().await.unwrap();
    crate::lab::assert_exact(&table, 3000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_can_be_read_as_it_was() {
    let lab = Lab::new();
    let table = lab.open().await;
    for end in [10, 20, 30] {
        lab.clock.set(START + end as i64 * 1_000_000);
        table.push(events(end - 10, end)).await.unwrap();
        table.flush().await.unwrap();
    }
    let count = "select count(*) from t";
    for version in [1, 2, 3] {
        let then = table.provider_at_version(version).await.unwrap();
        assert_eq!(number(then, count).await, version * 9);
    }
    let then = table.provider_at_time(START + 25_000_000).await.unwrap();
    assert_eq!(number(then, count).await, 18);
    assert!(table.provider_at_version(99).await.is_err());
    assert!(table.provider_at_time(START - DAY).await.is_err());
    let history = table.history(10).await.unwrap();
    let operations: Vec<_> =
        history.iter().map(|c| (c.version, c.operation.as_str(), c.rows_added)).collect();
    assert_eq!(operations, [(3, "WRITE", 9), (2, "WRITE", 9), (1, "WRITE", 9), (0, "CREATE TABLE", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_the_writer_sees_what_is_committed() {
    let lab = Lab::new();
    assert!(lab.lake().reader("silver/things").await.is_err());
    let table = lab.open().await;
    table.push(events(0, 10)).await.unwrap();
    table.flush().await.unwrap();
    let reader = lab.lake().reader("silver/things").await.unwrap();
    table.push(events(10, 20)).await.unwrap();
    assert_eq!(number(reader.provider(), "select count(*) from t").await, 9);
    table.flush().await.unwrap();
    reader.refresh().await.unwrap();
    assert_eq!(number(reader.provider(), "select count(*) from t").await, 18);
    assert_eq!(reader.committed().await.unwrap(), table.committed());
    assert_eq!(reader.recount().await.unwrap(), table.recount().await.unwrap());
}
