//! The Postgres wire, spoken to by tokio-postgres.

use crate::fixture::engine;
use bourn_sql::{EngineOptions, PgOptions, PgServer, SqlError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

async fn serve(options: PgOptions) -> (PgServer, Arc<crate::fixture::Seen>) {
    let (engine, seen) = engine(EngineOptions::default());
    let options = PgOptions { listen: "127.0.0.1:0".to_owned(), ..options };
    (engine.postgres(options).await.expect("a free port"), seen)
}

fn config(server: &PgServer) -> Config {
    let mut config = Config::new();
    config.host("127.0.0.1").port(server.address().port()).user("bourn").dbname("bourn");
    config
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn client() -> (Client, PgServer, Arc<crate::fixture::Seen>) {
    let (server, seen) = serve(PgOptions::default()).await;
    (connect(&config(&server)).await.expect("trust on loopback"), server, seen)
}

async fn simple(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
    let rows = client.simple_query(sql).await?.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect()),
        _ => None,
    });
    Ok(rows.collect())
}

fn code(error: &tokio_postgres::Error) -> &SqlState {
    error.code().unwrap_or_else(|| panic!("{error:?} has no code"))
}

#[tokio::test]
async fn simple_queries_answer_in_text() {
    let (client, _server, _) = client().await;
    let cases: [(&str, &[&[Option<&str>]]); 7] = [
        ("select 1", &[&[Some("1")]]),
        ("select count(*) from silver.flights", &[&[Some("5")]]),
        ("select carrier, dep_delay from flights where flight in (1141)", &[&[Some("AA"), None]]),
        ("select cancelled from flights where flight = 1141", &[&[Some("t")]]),
        ("select 1; select 2", &[&[Some("1")], &[Some("2")]]),
        ("show transaction isolation level", &[&[Some("read committed")]]),
        ("select count(*) from at_version('silver.growing', 3)", &[&[Some("3")]]),
    ];
    for (sql, expected) in cases {
        let rows = simple(&client, sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
        let expected: Vec<Vec<Option<String>>> =
            expected.iter().map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect();
        assert_eq!(rows, expected, "{sql}");
    }
}

#[tokio::test]
async fn prepared_statements_take_parameters() {
    let (client, _server, _) = client().await;
    let by_carrier = client
        .prepare(
            "select flight, dep_delay, cancelled from flights where carrier = $1 order by flight limit $2",
        )
        .await
        .expect("a statement");
    for (carrier, limit, expected) in
        [("UA", 9_i64, vec![1545_i64, 1714]), ("UA", 1, vec![1545]), ("XX", 9, vec![])]
    {
        let rows = client.query(&by_carrier, &[&carrier, &limit]).await.expect("rows");
        let numbers: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(numbers, expected);
    }
    let rows = client.query(&by_carrier, &[&"AA", &1_i64]).await.expect("rows");
    assert_eq!(rows[0].get::<_, Option<f64>>(1), None);
    assert!(rows[0].get::<_, bool>(2));
    let row = client.query_one("select $1::int + 1", &[&41_i32]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 42);
    let none: Option<&str> = None;
    let rows = client.query("select 1 from flights where carrier = $1", &[&none]).await.expect("no rows");
    assert!(rows.is_empty());
    // Each number below the highest one costs memory.
    for wild in ["select $4000000000", "select $65536", "select $99999999999999999999"] {
        let error = client.prepare(wild).await.expect_err(wild);
        assert!(error.as_db_error().is_some(), "{wild}: {error:?}");
    }
}

#[tokio::test]
async fn errors_have_codes_and_leave_the_connection_alive() {
    let (client, _server, _) = client().await;
    for (sql, expected) in [
        ("selct 1", SqlState::SYNTAX_ERROR),
        ("select * from flihgts", SqlState::UNDEFINED_TABLE),
        ("select carier from flights", SqlState::UNDEFINED_COLUMN),
        ("select nosuch(1)", SqlState::UNDEFINED_FUNCTION),
        ("insert into flights values (1)", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("create table x (a int)", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("drop table flights", SqlState::READ_ONLY_SQL_TRANSACTION),
        ("set datafusion.execution.batch_size = 1", SqlState::INSUFFICIENT_PRIVILEGE),
        ("show nothing_of_the_kind", SqlState::UNDEFINED_OBJECT),
        ("select 1 / 0", SqlState::DIVISION_BY_ZERO),
        ("select * from silver.broken", SqlState::INTERNAL_ERROR),
    ] {
        let error = client.simple_query(sql).await.expect_err(sql);
        assert_eq!(code(&error), &expected, "{sql}: {error:?}");
        let error = client.query(sql, &[]).await.expect_err(sql);
        assert_eq!(code(&error), &expected, "{sql}: {error:?}");
        assert_eq!(simple(&client, "select 1").await.expect(sql).len(), 1);
    }
}

#[tokio::test]
async fn an_error_aborts_its_transaction_only() {
    let (client, _server, _) = client().await;
    client.batch_execute("begin").await.expect("begin");
    client.batch_execute("select nosuch").await.expect_err("no such column");
    let error = client.batch_execute("select 1").await.expect_err("aborted");
    assert_eq!(code(&error), &SqlState::IN_FAILED_SQL_TRANSACTION);
    client.batch_execute("rollback").await.expect("rollback");
    client.batch_execute("begin; select 1; commit").await.expect("a transaction");
}

#[tokio::test]
async fn what_drivers_say_at_first_is_understood() {
    let (client, _server, _) = client().await;
    for sql in [
        "set client_encoding to 'UTF8'",
        "set application_name = 'test'",
        "set search_path to raw, silver",
        "set session characteristics as transaction read only",
        "set time zone 'UTC'",
        "set extra_float_digits = 3",
        "show server_version",
        "show search_path",
        "show standard_conforming_strings",
        "select version()",
        "select pg_catalog.version()",
        "select current_schema()",
        "select current_database()",
        "select current_schemas(true)",
        "select pg_is_in_recovery()",
        "select current_setting('server_version_num')",
        "select oid, typname from pg_catalog.pg_type where typname = 'int8'",
        "savepoint a; release savepoint a",
        "discard all",
        "reset all",
        "unlisten *",
        "deallocate all",
        "select pg_advisory_unlock_all()",
        "",
        ";",
    ] {
        client.simple_query(sql).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    }
}

#[tokio::test]
async fn the_search_path_is_the_sessions_own() {
    let (first, server, _) = client().await;
    let second = connect(&config(&server)).await.expect("a connection");
    first.batch_execute("set search_path to lookups").await.expect("set");
    assert_eq!(
        simple(&first, "select count(*) from airlines").await.expect("rows")[0][0].as_deref(),
        Some("3")
    );
    second.simple_query("select count(*) from airlines").await.expect_err("not on its path");
}

#[tokio::test]
async fn a_cancel_request_stops_the_running_query() {
    let (client, _server, seen) = client().await;
    let token = client.cancel_token();
    let query = client.simple_query("select sum(value * 0) from raw.flights");
    let cancel = async {
        while seen.batches.load(Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
        token.cancel_query(NoTls).await.expect("a cancel request");
    };
    let (answer, ()) = tokio::join!(query, cancel);
    assert_eq!(code(&answer.expect_err("cancelled")), &SqlState::QUERY_CANCELED);
    assert_eq!(simple(&client, "select 1").await.expect("alive").len(), 1);
    while seen.dropped.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_statement_timeout_stops_a_query() {
    let (client, _server, _) = client().await;
    client.batch_execute("set statement_timeout = '50ms'").await.expect("set");
    let answer = client.simple_query("select sum(value * 0) from raw.flights").await;
    let error = answer.expect_err("too long");
    assert_eq!(code(&error), &SqlState::QUERY_CANCELED, "{error:?}");
    client.batch_execute("set statement_timeout = 0; select 1").await.expect("alive");
}

#[tokio::test]
async fn a_password_is_asked_for_and_checked() {
    let password = Some("s3cret".to_owned());
    let (server, _) = serve(PgOptions { password, ..PgOptions::default() }).await;
    let mut right = config(&server);
    right.password("s3cret");
    let client = connect(&right).await.expect("the right password");
    assert_eq!(simple(&client, "select 1").await.expect("rows").len(), 1);
    for (user, password) in [("bourn", "wrong"), ("other", "s3cret"), ("bourn", "")] {
        let mut wrong = config(&server);
        wrong.user(user).password(password);
        assert!(connect(&wrong).await.is_err(), "{user} came in with '{password}'");
    }
    assert_eq!(simple(&client, "select 1").await.expect("rows").len(), 1);
}

#[tokio::test]
async fn trust_ends_at_the_own_machine() {
    let (engine, _) = engine(EngineOptions::default());
    let options = PgOptions { listen: "0.0.0.0:0".to_owned(), ..PgOptions::default() };
    assert!(matches!(engine.postgres(options).await, Err(SqlError::Open(_))));
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let (server, _) = serve(PgOptions { connections_max: 1, ..PgOptions::default() }).await;
    let client = connect(&config(&server)).await.expect("a seat");
    let error = connect(&config(&server)).await.expect_err("no seat");
    assert_eq!(code(&error), &SqlState::TOO_MANY_CONNECTIONS);
    assert_eq!(simple(&client, "select 1").await.expect("rows").len(), 1);
}

#[tokio::test]
async fn a_shutdown_lets_the_running_query_finish() {
    let (client, server, seen) = client().await;
    let query = client.simple_query("select count(*) from raw.flights where _offset < 300000");
    let stop = async {
        while seen.batches.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        server.shutdown().await;
    };
    let (answer, ()) = tokio::join!(query, stop);
    answer.expect("the whole answer");
    client.simple_query("select 1").await.expect_err("the server is gone");
}
