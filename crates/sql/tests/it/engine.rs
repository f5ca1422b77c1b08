//! The engine: what it answers, what it refuses, when it stops.

use crate::fixture::{BATCH_ROWS, ask, engine};
use arrow::array::RecordBatch;
use bourn_event::{Query, QueryError, QueryOptions};
use bourn_sql::{EngineOptions, ScanRequest};
use futures::{StreamExt, TryStreamExt};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn check(sql: &str, expected: &[&str]) {
    let (engine, _) = engine(EngineOptions::default());
    let answer = ask(&engine, sql, QueryOptions::default()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let rows: Vec<String> = answer
        .lines()
        .skip(3)
        .filter(|line| !line.starts_with('+'))
        .map(|line| {
            let cells = line.trim_matches('|').split('|').map(str::trim);
            cells.collect::<Vec<_>>().join("|")
        })
        .collect();
    assert_eq!(rows, expected, "{sql}\n{answer}");
}

async fn refusal(sql: &str) -> QueryError {
    let (engine, _) = engine(EngineOptions::default());
    match ask(&engine, sql, QueryOptions::default()).await {
        Err(error) => error,
        Ok(answer) => panic!("{sql} was answered:\n{answer}"),
    }
}

#[tokio::test]
async fn queries_reach_every_zone() {
    check("select count(*) from flights", &["5"]).await;
    check("select count(*) from bourn.silver.flights", &["5"]).await;
    check(
        "select f.carrier, a.name from silver.flights f join lookups.airlines a on a.code = f.carrier \
         where dep_delay > 1 order by flight",
        &["UA|United", "UA|United"],
    )
    .await;
    check("select carrier, avg(dep_delay) from flights group by 1 order by 1 limit 2", &["AA|", "B6|-1.0"])
        .await;
    check("with c as (select flight from flights) select max(flight) from c", &["1714"]).await;
}

#[tokio::test]
async fn json_functions_read_text_columns() {
    check("select _extra->>'gate' from flights where _extra is not null", &["B7"]).await;
    check("select json_get_str(_extra, 'gate') from flights where flight = 1714", &["B7"]).await;
}

#[tokio::test]
async fn the_catalog_tells_its_tables() {
    check(
        "select table_schema, table_name from information_schema.tables \
         where table_schema in ('silver', 'raw') order by 1, 2",
        &["raw|flights", "silver|broken", "silver|flights", "silver|growing"],
    )
    .await;
    check(
        "select n.nspname, c.relname, a.attname from pg_catalog.pg_attribute a \
         join pg_catalog.pg_class c on c.oid = a.attrelid \
         join pg_catalog.pg_namespace n on n.oid = c.relnamespace where n.nspname = 'lookups' order by a.attnum",
        &["lookups|airlines|code", "lookups|airlines|name"],
    )
    .await;
}

#[tokio::test]
async fn describe_show_and_explain_answer() {
    for sql in [
        "describe silver.flights",
        "show tables",
        "explain select 1",
        "show columns from flights",
        "explain analyze select count(*) from flights",
    ] {
        let (engine, _) = engine(EngineOptions::default());
        // `silver.broken` cannot be opened; only what lists columns of all tables may fail by it.
        engine.deregister("silver", "broken");
        let answer = ask(&engine, sql, QueryOptions::default()).await;
        assert!(answer.is_ok(), "{sql}: {answer:?}");
    }
}

#[tokio::test]
async fn whatever_writes_is_refused() {
    for sql in [
        "insert into flights select * from flights",
        "insert into flights values (1)",
        "update flights set flight = 1",
        "delete from flights",
        "create table x as select 1",
        "create table silver.x (a int)",
        "create view v as select 1",
        "create external table t stored as csv location '/etc/passwd'",
        "create schema x",
        "create database x",
        "drop table flights",
        "drop schema silver",
        "alter table flights rename to x",
        "truncate table flights",
        "copy flights to '/tmp/bourn-refused.csv'",
        "copy (select 1) to '/tmp/bourn-refused.csv'",
        "set datafusion.execution.batch_size = 1",
        "reset datafusion.execution.batch_size",
        "select 1 as a into x",
        "explain insert into flights select * from flights",
        "prepare p as select 1",
        "begin",
        "grant select on flights to public",
        "merge into flights using airlines on true when matched then delete",
    ] {
        assert!(matches!(refusal(sql).await, QueryError::Invalid(_)), "{sql}");
    }
    for sql in ["select * from '/etc/passwd'", "select * from read_csv('/etc/passwd')"] {
        assert!(matches!(refusal(sql).await, QueryError::Invalid(_)), "{sql}");
    }
}

#[tokio::test]
async fn one_statement_at_a_time() {
    for sql in ["", " ; ", "select 1; select 2", "selct 1", "select 'open"] {
        assert!(matches!(refusal(sql).await, QueryError::Invalid(_)), "{sql:?}");
    }
    check("select 1;", &["1"]).await;
}

#[tokio::test]
async fn misspelt_names_come_with_a_guess() {
    for (sql, expected) in [
        ("select * from flihgts", "table silver.flihgts does not exist; did you mean silver.flights?"),
        ("select * from silvr.flights", "table silvr.flights does not exist; did you mean raw.flights?"),
        (
            "select * from silver.airlines",
            "table silver.airlines does not exist; did you mean lookups.airlines?",
        ),
        ("select carier from flights", "column carier does not exist; did you mean carrier?"),
        ("select f.flihgt from flights f", "column f.flihgt does not exist; did you mean flight?"),
        ("select something_else from flights", "column something_else does not exist"),
    ] {
        assert_eq!(refusal(sql).await, QueryError::Invalid(expected.to_owned()), "{sql}");
    }
    let function = refusal("select abss(1)").await.to_string();
    assert!(function.contains("Did you mean 'abs'"), "{function}");
}

#[tokio::test]
async fn a_broken_table_names_itself() {
    let error = refusal("select * from silver.broken").await;
    assert_eq!(
        error,
        QueryError::Failed("table broken cannot be read: part-0.parquet is missing".to_owned())
    );
}

#[tokio::test]
async fn the_past_is_queried_by_version_and_time() {
    for (from, count) in [
        ("growing", "9"),
        ("at_version('silver.growing', 3)", "3"),
        ("at_version('growing', 0)", "0"),
        ("at_time('silver.growing', '1970-01-01T00:00:05Z')", "5"),
        ("silver.growing version as of 4", "4"),
        ("silver.growing for system_time as of '1970-01-01T00:00:02Z'", "2"),
        ("growing timestamp as of '1970-01-01 00:00:07'", "7"),
    ] {
        check(&format!("select count(*) from {from}"), &[count]).await;
    }
    check(
        "select new.n from growing new left join at_version('growing', 7) old on new.n = old.n \
         where old.n is null order by 1",
        &["7", "8"],
    )
    .await;
    check("select growing.n from at_version('growing', 1)", &["0"]).await;
    let missing = refusal("select * from at_version('silver.growing', 77)").await.to_string();
    assert!(missing.contains("there is no version 77"), "{missing}");
    let unsupported = refusal("select * from at_version('silver.flights', 1)").await.to_string();
    assert!(unsupported.contains("keeps no versions"), "{unsupported}");
}

#[tokio::test]
async fn bounds_columns_and_limits_reach_the_scan() {
    let all = ScanRequest::all();
    let cases = [
        (
            "select value from raw.flights where _offset >= 5000 and _offset < 6000",
            ScanRequest { offsets: 5000..6000, projection: Some(vec![0, 2]), ..all.clone() },
        ),
        (
            "select _offset from raw.flights where _offset between 10 and 20",
            ScanRequest { offsets: 10..21, projection: Some(vec![0]), ..all.clone() },
        ),
        (
            "select value from raw.flights limit 7",
            ScanRequest { projection: Some(vec![2]), limit: Some(7), ..all.clone() },
        ),
        (
            "select value from raw.flights where _offset < 100 and \
             _received_at >= '1970-01-01T00:00:00.000050Z'",
            ScanRequest {
                offsets: 0..100,
                received_at: 50..i64::MAX,
                projection: Some(vec![0, 1, 2]),
                ..all.clone()
            },
        ),
    ];
    for (sql, expected) in cases {
        let (engine, seen) = engine(EngineOptions::default());
        ask(&engine, sql, QueryOptions::default()).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(*seen.requests.lock(), [expected], "{sql}");
    }
}

#[tokio::test]
async fn the_row_limit_cuts_the_answer_and_stops_the_scan() {
    let (engine, seen) = engine(EngineOptions::default());
    for limit in [0, 1, 2500] {
        let options = QueryOptions { limit: Some(limit), ..QueryOptions::default() };
        let rows = engine.query("select value from raw.flights", options).await.expect("a query");
        let batches: Vec<RecordBatch> = rows.batches.try_collect().await.expect("rows");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), limit);
    }
    assert!(seen.batches.load(Ordering::SeqCst) < 100, "an endless table was read on");
}

/// Waits for the other threads to get there; the test's harness ends a wait that never does.
async fn until(reached: impl Fn() -> bool) {
    while !reached() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_query_stops_its_scan() {
    let (engine, seen) = engine(EngineOptions::default());
    let sql = "select value from raw.flights";
    let mut rows = engine.query(sql, QueryOptions::default()).await.expect("a query");
    let first = rows.batches.next().await.expect("a batch").expect("a batch");
    assert_eq!(first.num_rows() as u64, BATCH_ROWS);
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 0);
    drop(rows);
    until(|| seen.dropped.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_ends() {
    let (engine, seen) = engine(EngineOptions::default());
    let timeout = Duration::from_millis(50);
    let options = QueryOptions { timeout: Some(timeout), limit: None };
    let answer = ask(&engine, "select sum(value * 0) from raw.flights", options).await;
    assert_eq!(answer, Err(QueryError::Timeout(timeout)));
    until(|| seen.dropped.load(Ordering::SeqCst) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_more_time_than_configured() {
    let timeout = Duration::from_millis(50);
    let (engine, _) = engine(EngineOptions { timeout, ..EngineOptions::default() });
    let options = QueryOptions { timeout: Some(Duration::from_secs(3600)), limit: None };
    let answer = ask(&engine, "select sum(value * 0) from raw.flights", options).await;
    assert_eq!(answer, Err(QueryError::Timeout(timeout)));
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_fails_alone() {
    let (engine, _) = engine(EngineOptions { memory_bytes: 1 << 20, ..EngineOptions::default() });
    let hungry = "select value, count(*) from raw.flights where _offset < 1000000 group by value \
                  order by 2 desc, 1 limit 1";
    let answer = ask(&engine, hungry, QueryOptions::default()).await;
    assert!(matches!(answer, Err(QueryError::Memory(_))), "{answer:?}");
    assert!(ask(&engine, "select count(*) from flights", QueryOptions::default()).await.is_ok());
}

#[tokio::test]
async fn a_sort_that_does_not_fit_spills() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = EngineOptions {
        memory_bytes: 12 << 20,
        spill_dir: Some(dir.path().join("spill")),
        ..EngineOptions::default()
    };
    let (engine, _) = engine(options);
    let sql = "select value from raw.flights where _offset < 2000000 order by value % 1000, value desc";
    let rows = engine.query(sql, QueryOptions::default()).await.expect("a query");
    let batches: Vec<RecordBatch> = rows.batches.try_collect().await.expect("rows");
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2_000_000);
}

#[tokio::test]
async fn tables_come_and_go_between_statements() {
    let (engine, _) = engine(EngineOptions::default());
    assert!(engine.tables().contains(&"silver.flights".to_owned()));
    engine.deregister("silver", "flights");
    let answer = ask(&engine, "select * from silver.flights", QueryOptions::default()).await;
    assert!(matches!(answer, Err(QueryError::Invalid(_))), "{answer:?}");
}
