"""HTTP as its clients use it: schemathesis, pyarrow, the CloudEvents SDK, producers that retry."""

import gzip
import hashlib
import io
import json
import pathlib
import subprocess
import sys
import zlib

import polars
import pyarrow.ipc
import pyarrow.parquet
import pytest
from cloudevents.core.bindings import http as cloud
from cloudevents.core.v1.event import CloudEvent

HERE = pathlib.Path(__file__).parent
KEYS = {"all": [], "ingest": ["ingest"], "query": ["query"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    from harness import Pipeline

    with Pipeline(tmp_path_factory.mktemp("http") / "trips", "flights", "flights").running() as pipeline:
        yield pipeline


def with_keys(definition):
    hashes = {name: hashlib.sha256(f"key-{name}".encode()).hexdigest() for name in KEYS}
    definition["server"] = {
        "keys": [{"name": name, "hash": f"sha256:{hashes[name]}", "verbs": verbs} for name, verbs in KEYS.items()]
    }


def bearer(name):
    return {"authorization": f"Bearer key-{name}"}


def schemathesis(url, *options):
    command = [pathlib.Path(sys.executable).parent / "st", "--config-file", HERE / "schemathesis.toml"]
    command += ["run", f"{url}/v1/openapi.json", "--checks", "all", "--no-color", "--max-examples", "12"]
    command += ["--seed", "7", "--suppress-health-check", "all", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, cwd="/tmp")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_schemathesis_finds_no_violation(make):
    with make().running() as pipeline:
        schemathesis(pipeline.url)
        pipeline.settled()
        pipeline.prove()


def test_schemathesis_finds_no_violation_behind_api_keys(make):
    with make(change=with_keys).running() as pipeline:
        schemathesis(pipeline.url, "--header", "Authorization: Bearer key-all")


def test_keys_let_in_who_may_and_nobody_else(make, flights):
    with make(change=with_keys).running() as pipeline:
        def ingest(headers):
            return pipeline.post(flights[:1], headers=headers).status

        def query(headers):
            return pipeline.query("select 1", headers=headers).status

        got = {
            name: (ingest(headers), query(headers))
            for name, headers in {
                "none": {},
                "wrong": {"authorization": "Bearer nonsense"},
                **{name: bearer(name) for name in KEYS},
                "x-api-key": {"x-api-key": "key-all"},
            }.items()
        }
        assert got == {
            "none": (401, 401),
            "wrong": (401, 401),
            "all": (200, 200),
            "ingest": (200, 403),
            "query": (403, 200),
            "x-api-key": (200, 200),
        }
        assert pipeline.request("GET", "/healthz").status == 200


def test_an_answer_counts_and_names_the_rejects(server, flights):
    bad = json.loads(flights[0]) | {"origin": "BER", "id": "2013-02-01-UA-1-EWR-IAH-0515"}
    answer = server.post([flights[0], json.dumps(bad).encode(), b"{not json"]).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    first, second = answer["errors"]
    assert (first["index"], first["pointer"], first["keyword"]) == (1, "/origin", "enum")
    assert second["index"] == 2 and second["message"]


@pytest.mark.parametrize(
    "coding, encode",
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("zstd", lambda body: subprocess.run(["zstd", "-c"], input=body, capture_output=True, check=True).stdout),
        ("gzip, zstd", lambda b: subprocess.run(["zstd", "-c"], input=gzip.compress(b), capture_output=True).stdout),
        ("identity", bytes),
    ],
)
def test_every_content_encoding_is_undone(server, flights, coding, encode):
    body = encode(b"\n".join(flights[100:200]))
    answer = server.post(body, headers={"content-encoding": coding})
    assert answer.status == 200 and answer.json()["accepted"] == 100, answer.body


@pytest.mark.parametrize(
    "content_type, join",
    [
        ("application/json", lambda events: b"[" + b",".join(events) + b"]"),
        ("application/json; charset=utf-8", b"\n".join),
        ("application/x-ndjson", b"\r\n".join),
        ("application/jsonl", lambda events: b"\xef\xbb\xbf" + b"\n\n".join(events)),
    ],
)
def test_every_body_type_is_split(server, flights, content_type, join):
    answer = server.post(join(flights[200:250]), content_type=content_type)
    assert answer.status == 200 and answer.json()["accepted"] == 50, answer.body


@pytest.mark.parametrize(
    "method, path, body, headers, status, kind",
    [
        ("POST", "/v1/streams/nosuch", b"{}", {}, 404, "unknown-stream"),
        ("GET", "/v1/streams/flights", None, {}, 405, "method-not-allowed"),
        ("POST", "/v1/streams/flights", b"{}", {"content-type": "image/png"}, 415, "unsupported-media-type"),
        ("POST", "/v1/streams/flights", b"{}", {"content-encoding": "br"}, 415, "unsupported-media-type"),
        ("POST", "/v1/streams/flights", b"x", {"content-encoding": "gzip"}, 400, "unreadable-body"),
        ("POST", "/v1/streams/flights", b"", {}, 400, "unreadable-body"),
        ("POST", "/v1/streams/flights?ack=soon", b"{}", {}, 400, "bad-request"),
        ("POST", "/v1/streams/flights?colour=red", b"{}", {}, 400, "bad-request"),
        ("POST", "/v1/streams/flights", b"{}", {"bourn-producer": "p"}, 400, "bad-request"),
        ("POST", "/v1/streams/flights", b"{}", {"content-type": "application/json"}, 422, "rejected"),
        ("POST", "/v1/streams/flights", b" " * (33 << 20), {}, 413, "too-large"),
        ("POST", "/v1/streams/flights", gzip.compress(b" " * (200 << 20)), {"content-encoding": "gzip"}, 413, "too-large"),
        ("POST", "/v1/sql", b"selct 1", {"content-type": "text/plain"}, 400, "invalid-query"),
        ("POST", "/v1/sql", b"select * from nosuch", {"content-type": "text/plain"}, 400, "invalid-query"),
        ("POST", "/v1/sql", b"drop table silver.flights", {"content-type": "text/plain"}, 400, "invalid-query"),
        ("POST", "/v1/sql", b"select 1", {"content-type": "text/plain", "accept": "image/png"}, 406, "not-acceptable"),
        ("GET", "/nosuch", None, {}, 404, "not-found"),
        ("GET", "/healthz", None, {"origin": "https://elsewhere.example"}, 403, "forbidden"),
    ],
)
def test_what_fails_is_a_problem_document(server, method, path, body, headers, status, kind):
    answer = server.request(method, path, body, headers)
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{kind}" and problem["status"] == status
    assert problem["title"] and problem["detail"]


FORMS = "select carrier, dep_delay, time_hour, cancelled from silver.flights order by _offset"


def test_sql_answers_in_every_form_alike(server, flights):
    server.post(flights[:1000], "?ack=visible")
    rows = server.query(FORMS).json()
    assert len(rows) >= 1000 and set(rows[0]) == {"carrier", "dep_delay", "time_hour", "cancelled"}
    carriers = [row["carrier"] for row in rows]
    delays = [row["dep_delay"] for row in rows]

    lines = server.query(FORMS, "application/x-ndjson").body.splitlines()
    assert [json.loads(line) for line in lines] == rows
    arrow = server.query(FORMS, "application/vnd.apache.arrow.stream")
    table = pyarrow.ipc.open_stream(arrow.body).read_all()
    assert table["carrier"].to_pylist() == carriers and table["dep_delay"].to_pylist() == delays
    parquet = server.query(FORMS, "application/vnd.apache.parquet")
    assert pyarrow.parquet.read_table(io.BytesIO(parquet.body))["dep_delay"].to_pylist() == delays
    csv = polars.read_csv(server.query(FORMS, "text/csv").body, infer_schema_length=None)
    assert csv["carrier"].to_list() == carriers and csv["dep_delay"].to_list() == delays
    assert server.query(FORMS, "text/plain").body.decode().startswith("carrier")


@pytest.mark.parametrize(
    "accept, empty",
    [
        ("application/json", b"[]"),
        ("application/x-ndjson", b""),
        ("text/csv", b"carrier"),
        ("application/vnd.apache.arrow.stream", None),
    ],
)
def test_no_rows_are_a_whole_answer_too(server, accept, empty):
    answer = server.query("select carrier from silver.flights where carrier = 'none'", accept)
    assert answer.status == 200
    if empty is None:
        assert pyarrow.ipc.open_stream(answer.body).read_all().num_rows == 0
        assert answer.body.endswith(b"\xff\xff\xff\xff\x00\x00\x00\x00")
    else:
        assert answer.body.strip() == empty


CE_TYPE = "example.flight"
JSON = {"datacontenttype": "application/json"}


def cloud_event(flights, n):
    data = json.loads(flights[n])
    return CloudEvent({"id": f"ce{n}", "source": "/towers/ewr", "type": CE_TYPE, "specversion": "1.0"} | JSON, data)


def test_cloudevents_of_the_sdk_arrive_in_all_three_modes(server, flights):
    structured = cloud.to_structured_event(cloud_event(flights, 3001))
    binary = cloud.to_binary_event(cloud_event(flights, 3002))
    batch = b"[" + b",".join(cloud.to_structured_event(cloud_event(flights, n)).body for n in (3003, 3004)) + b"]"
    for message in (structured, binary):
        answer = server.request("POST", "/v1/streams/flights?ack=visible", message.body, message.headers)
        assert answer.status == 200 and answer.json()["accepted"] == 1, answer.body
    answer = server.post(batch, "?ack=visible", content_type="application/cloudevents-batch+json")
    assert answer.status == 200 and answer.json()["accepted"] == 2, answer.body
    ids = "', '".join(json.loads(flights[n])["id"] for n in range(3001, 3005))
    rows = server.query(f"select _extra from silver.flights where id in ('{ids}')").json()
    extras = [json.loads(row["_extra"]) if isinstance(row["_extra"], str) else row["_extra"] for row in rows]
    assert {extra["ce_id"] for extra in extras} == {"ce3001", "ce3002", "ce3003", "ce3004"}
    assert {extra["ce_type"] for extra in extras} == {CE_TYPE}


def test_a_repeated_request_of_a_producer_is_answered_and_not_stored_again(make, flights):
    pipeline = make()
    with pipeline.running():
        for sequence in range(5):
            part = flights[sequence * 10 : sequence * 10 + 10]
            headers = {"bourn-producer": "tower", "bourn-sequence": str(sequence)}
            first = pipeline.post(part, headers=headers).json()
            again = pipeline.post(part, headers=headers).json()
            assert (first["accepted"], first.get("repeated", 0)) == (10, 0)
            assert (again["accepted"], again["repeated"]) == (10, 10)
    with pipeline.running():
        late = pipeline.post(flights[:10], headers={"bourn-producer": "tower", "bourn-sequence": "4"}).json()
        assert late["repeated"] == 10, "the log remembers its producers over a restart"
        assert pipeline.settled()["received"] == 50
        assert pipeline.prove() | {"stored": 50, "duplicate": 0} == pipeline.prove()


def test_what_was_acknowledged_visible_is_in_the_next_query_every_time(make, flights):
    with make().running() as pipeline:
        for n in range(100):
            assert pipeline.post(flights[n : n + 1], "?ack=visible").json()["accepted"] == 1
            assert pipeline.query("select count(*) as n from silver.flights").json() == [{"n": n + 1}]


def test_strict_stores_all_or_nothing(make, flights):
    with make().running() as pipeline:
        refused = pipeline.post([flights[0], b'{"id": 1}'], "?strict=true")
        assert refused.status == 422 and refused.json()["type"] == "/problems/rejected"
        assert pipeline.post(flights[:2], "?strict=true").status == 200
        ledger = pipeline.settled()
        assert ledger["stored"] == 2 and ledger["rejected"] >= 1, ledger
        pipeline.prove()


def test_metrics_are_prometheus_text_with_the_promised_families(server):
    text = server.request("GET", "/metrics").body.decode()
    for line in filter(None, text.splitlines()):
        assert line.startswith("#") or len(line.rsplit(" ", 1)) == 2, line
    for family in ("events", "bytes", "rejects", "lag", "fsync", "commit"):
        assert any(family in line for line in text.splitlines() if line.startswith("# TYPE")), family
