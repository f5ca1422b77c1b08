//! SQL and jobs: rows, records, the end of `.sync`, what is dropped, and what a restart does.

use crate::world::{World, request, until};
use bourn_event::Tasks;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;

#[tokio::test]
async fn sql_gives_rows_within_bounds() {
    let world = World::new();
    let answer = world.run("bourn:sql", "1", json!({"Query": "rows 2"})).await.expect("rows");
    assert_eq!(
        answer,
        json!({"Rows": [{"n": 1, "word": "w1"}, {"n": 2, "word": null}], "RowCount": 2, "Truncated": false})
    );
    let answer = world.run("bourn:sql", "2", json!({"Query": "rows 2000"})).await.expect("rows");
    assert_eq!((&answer["RowCount"], &answer["Truncated"]), (&json!(1000), &json!(true)));
    let answer = world.run("bourn:sql", "3", json!({"Query": "rows 3", "MaxRows": 3})).await.expect("rows");
    assert_eq!((&answer["RowCount"], &answer["Truncated"]), (&json!(3), &json!(false)));
    let bound = json!({"Query": "a = ? and 2", "Parameters": ["it's"]});
    world.run("bourn:sql", "4", bound).await.expect("rows");
    assert_eq!(world.query.asked.lock().last().expect("a query"), "a = 'it''s' and 2");
}

#[tokio::test]
async fn sql_fails_under_its_own_names() {
    let world = World::new();
    let cases = [
        (json!({"Query": "bad"}), "Bourn.InvalidQuery", "no table `x`"),
        (json!({"Query": "late"}), "Bourn.QueryTimeout", "2.0 s"),
        (json!({"Query": "fat"}), "Bourn.QueryMemory", "64 MiB"),
        (json!({"Query": "hurt"}), "Bourn.QueryFailed", "disk"),
        (json!({"Query": 5}), "Bourn.InvalidQuery", "must be a text"),
        (json!({"Query": "a = ?", "Parameters": [1, 2]}), "Bourn.InvalidQuery", "no place for value 2"),
        (json!({"Query": "a", "Parameters": "x"}), "Bourn.InvalidQuery", "must be a list"),
        (json!({"Query": "a", "MaxRows": 0}), "Bourn.InvalidQuery", "from 1 to 10000"),
    ];
    for (parameters, error, part) in cases {
        World::failed(world.run("bourn:sql", "1", parameters).await, error, part);
    }
}

fn start(sql: &str) -> Value {
    json!({"QueryString": sql, "WorkGroup": "w"})
}

#[tokio::test]
async fn queries_are_kept_with_their_results() {
    let world = World::new();
    let ended = world.run_sync("athena:startQueryExecution", "1", start("rows 1500")).await.expect("an end");
    let execution = &ended["QueryExecution"];
    assert_eq!((&execution["Status"]["State"], &execution["WorkGroup"]), (&json!("SUCCEEDED"), &json!("w")));
    assert_eq!(execution["Status"]["SubmissionDateTime"], json!(1_713_421_621_000_i64));
    let id = json!({"QueryExecutionId": execution["QueryExecutionId"]});
    let world = world.restart().await;
    let shown = world.run("athena:getQueryExecution", "2", id.clone()).await.expect("an execution");
    assert_eq!(shown, ended);
    let (mut lines, mut page) = (Vec::new(), id.clone());
    loop {
        let answer = world.run("athena:getQueryResults", "3", page.clone()).await.expect("results");
        assert_eq!(answer["ResultSet"]["ResultSetMetadata"]["ColumnInfo"][0]["Type"], "bigint");
        lines.extend(answer["ResultSet"]["Rows"].as_array().expect("rows").clone());
        match answer.get("NextToken") {
            Some(token) => page["NextToken"] = token.clone(),
            None => break,
        }
    }
    assert_eq!(lines.len(), 1501);
    assert_eq!(lines[0], json!({"Data": [{"VarCharValue": "n"}, {"VarCharValue": "word"}]}));
    assert_eq!(lines[1], json!({"Data": [{"VarCharValue": "1"}, {"VarCharValue": "w1"}]}));
    assert_eq!(lines[1500], json!({"Data": [{"VarCharValue": "1500"}, {}]}));
    assert_eq!(world.query.asked.lock().len(), 1);
}

#[tokio::test]
async fn queries_fail_as_athena_does() {
    let world = World::new();
    let failed = world.run_sync("athena:startQueryExecution", "1", start("bad")).await;
    World::failed(failed, "States.TaskFailed", "\"StateChangeReason\":\"no table `x`\"");
    let large = world.run_sync("athena:startQueryExecution", "2", start("rows 20000")).await;
    World::failed(large, "States.TaskFailed", "more than 10000 rows");
    let missing = json!({"QueryExecutionId": "none"});
    for action in ["getQueryExecution", "getQueryResults", "stopQueryExecution"] {
        let outcome = world.run(&format!("athena:{action}"), "3", missing.clone()).await;
        World::failed(
            outcome,
            "Athena.InvalidRequestException",
            "QueryExecution none was not found (Service: AmazonAthena; ",
        );
    }
}

#[tokio::test]
async fn a_query_can_be_stopped_and_one_that_was_cut_off_is_begun_anew() {
    let world = World::new();
    let began = world.run("athena:startQueryExecution", "1", start("slow 2")).await.expect("begun");
    let again = world.run("athena:startQueryExecution", "1", start("slow 2")).await.expect("begun");
    assert_eq!(began, again);
    until("the query", || world.query.asked.lock().len() == 1).await;
    World::failed(
        world.run("athena:getQueryResults", "2", began.clone()).await,
        "Athena.InvalidRequestException",
        "Final query state: RUNNING",
    );

    let world = world.restart().await;
    world.run("athena:getQueryExecution", "3", began.clone()).await.expect("running");
    until("the query again", || world.query.asked.lock().len() == 2).await;
    world.run("athena:stopQueryExecution", "4", began.clone()).await.expect("stopped");
    let shown = world.run("athena:getQueryExecution", "5", began).await.expect("an execution");
    assert_eq!(shown["QueryExecution"]["Status"]["State"], "CANCELLED");
}

#[tokio::test]
async fn jobs_run_and_tell_what_they_did() {
    let world = World::new();
    let parameters = json!({"JobName": "compact", "Arguments": {"--stream": "orders", "--deep": true}});
    let run = world.run_sync("glue:startJobRun", "1", parameters).await.expect("a run");
    assert_eq!((&run["JobRunState"], &run["Rows"]), (&json!("SUCCEEDED"), &json!(3)));
    assert_eq!(
        *world.jobs.runs.lock(),
        [("compact".to_string(), Some("orders".to_string()), json!({"deep": true}))]
    );
    let failed = world.run_sync("glue:startJobRun", "2", json!({"JobName": "vacuum"})).await;
    World::failed(failed, "States.TaskFailed", "\"ErrorMessage\":\"the table is gone\"");
    let unknown = world.run("glue:startJobRun", "3", json!({"JobName": "compct"})).await;
    World::failed(unknown, "Glue.EntityNotFoundException", "did you mean `compact`?");
    let done = world.run("bourn:job", "4", json!({"Job": "compact"})).await;
    assert_eq!(done, Ok(json!({"Job": "compact", "Rows": 3, "Detail": {"files": 1}})));
    World::failed(
        world.run("bourn:job", "5", json!({"Job": "vacuum"})).await,
        "Bourn.JobFailed",
        "the table is gone",
    );
    World::failed(
        world.run("bourn:job", "6", json!({"Job": "x"})).await,
        "Bourn.JobFailed",
        "there is no job `x`",
    );
}

#[tokio::test]
async fn a_job_ends_with_the_task_that_waits_for_it() {
    let world = World::new();
    let wanted = request("glue:startJobRun", "1", json!({"JobName": "replay"}));
    let submitted = world.tasks.submit(&wanted).await.expect("begun");
    let waiting = tokio::spawn({
        let (tasks, wanted) = (world.tasks.clone(), wanted.clone());
        async move { tasks.wait(&wanted, &submitted).await }
    });
    until("the job", || world.jobs.runs.lock().len() == 1).await;
    waiting.abort();
    until("the job's end", || world.jobs.dropped.load(Ordering::SeqCst) == 1).await;
    // Waited for again, as after a crash, it is done again.
    world.jobs.gate.notify_one();
    let run = world.tasks.wait(&wanted, &json!({})).await.expect("a run");
    assert_eq!((&run["Rows"], world.jobs.runs.lock().len()), (&json!(9), 2));
}
