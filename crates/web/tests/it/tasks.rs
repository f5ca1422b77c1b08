//! Answering a waiting task over plain HTTP.

use crate::server::{call, check_problem, start};

#[tokio::test]
async fn a_waiting_task_is_answered() {
    let server = start(|_| {}).await;
    let cases = [
        ("waits/success", "{\"approved\": true}", 200, "success"),
        ("waits/success", "", 200, "success"),
        ("waits/success", "null", 200, "success"),
        ("wa%2Fits%2B%3D/success", "1", 200, "success"),
        ("waits/failure", "{\"error\": \"Refused\"}", 200, "failure"),
        ("waits/failure", "", 200, "failure"),
        ("waits/heartbeat", "", 200, "heartbeat"),
        ("waits/success", "\"bad\"", 400, "bad-request"),
        ("waits/success", "{", 400, "bad-request"),
        ("waits/failure", "[]", 400, "bad-request"),
        ("waits/failure", "{\"reason\": \"x\"}", 400, "bad-request"),
        ("broken/heartbeat", "", 400, "bad-request"),
        ("nobody/success", "{}", 404, "not-found"),
        ("over/success", "{}", 410, "task-over"),
        ("failed/success", "{}", 500, "internal"),
        ("busy/success", "{}", 503, "unavailable"),
        ("waits/approve", "{}", 404, "not-found"),
    ];
    for (path, body, status, said) in cases {
        let answer = call(server.addr, "POST", &format!("/v1/tasks/{path}"), &[], body).await;
        if status == 200 {
            assert_eq!(answer.status, 200, "{path} {body}: {answer:?}");
            assert_eq!(answer.body, format!("{{\"answered\":\"{said}\"}}"));
        } else {
            check_problem(&answer, status, said);
        }
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{answer:?}");
    }
    let told = "{\"error\": \"Refused\", \"cause\": \"too dear\"}";
    let answer = call(server.addr, "POST", "/v1/tasks/waits/failure", &[], told).await;
    assert!(answer.body.contains("Refused: too dear"), "{answer:?}");
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_reaches_the_task() {
    let server = start(|_| {}).await;
    let long = "x".repeat(2_049);
    let token = call(server.addr, "POST", &format!("/v1/tasks/{long}/success"), &[], "").await;
    check_problem(&token, 400, "bad-request");
    for name in ["error", "cause"] {
        let body = format!("{{\"{name}\": \"{}\"}}", "x".repeat(32_769));
        let answer = call(server.addr, "POST", "/v1/tasks/waits/failure", &[], &body).await;
        check_problem(&answer, 400, "bad-request");
    }
}

#[tokio::test]
async fn looking_at_the_address_answers_nothing() {
    let server = start(|_| {}).await;
    for method in ["GET", "HEAD", "PUT"] {
        let answer = call(server.addr, method, "/v1/tasks/waits/success", &[], "").await;
        assert_eq!(answer.status, 405, "{method}: {answer:?}");
    }
}

#[tokio::test]
async fn without_workflows_there_are_no_tasks() {
    let server = start(|options| options.tasks = None).await;
    let answer = call(server.addr, "POST", "/v1/tasks/waits/success", &[], "{}").await;
    check_problem(&answer, 404, "not-found");
    let document = call(server.addr, "GET", "/v1/openapi.json", &[], "").await.body;
    assert!(!document.contains("/v1/tasks/"), "{document}");
}
