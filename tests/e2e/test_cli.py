"""The command line as people and scripts use it: at a prompt, in pipes, stopped half-way, used wrongly."""

import csv
import io
import json
import os
import pty
import select
import signal
import subprocess
import threading
import time

import pyarrow.ipc
import pyarrow.parquet
import pytest

from harness import BOURN, bourn, until

BAD = [b'{"id": "nonsense"}', b"{not json", b'{"id": 7}']


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, flights):
    """A stopped pipeline: 3000 events, 10 duplicates, 3 rejects."""
    from harness import Pipeline

    pipeline = Pipeline(tmp_path_factory.mktemp("shelf") / "trips", "flights", "flights")
    with pipeline.running():
        assert pipeline.post(flights[:3000]).json()["accepted"] == 3000
        assert pipeline.post(flights[:10]).json()["accepted"] == 10
        assert pipeline.post(BAD).json()["rejected"] == 3
        pipeline.settled()
    return pipeline


def test_a_stopped_pipeline_balances_and_proves(shelf):
    assert shelf.ledger() == {
        "received": 3013,
        "stored": 3000,
        "duplicate": 10,
        "rejected": 3,
        "filtered": 0,
        "late": 0,
        "in_flight": 0,
    }
    assert shelf.prove() == shelf.ledger()


def test_sql_prints_every_format(shelf, tmp_path):
    statement = "select carrier, flight, dep_delay from silver.flights where dep_delay is null order by _offset"
    rows = shelf.sql(statement)
    assert rows and all(row["dep_delay"] is None for row in rows)

    def out(form):
        return shelf.cli("sql", statement, "--format", form).stdout

    assert [json.loads(line) for line in out("ndjson").splitlines()] == rows
    lines = list(csv.reader(io.StringIO(out("csv").decode())))
    assert lines[0] == ["carrier", "flight", "dep_delay"] and len(lines) == len(rows) + 1
    assert pyarrow.ipc.open_stream(out("arrow")).read_all().to_pylist() == rows
    shelf.cli("sql", statement, "--format", "parquet", "--output", tmp_path / "rows.parquet")
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").to_pylist() == rows
    assert f"({len(rows)} rows)" in out("table").decode()


def test_sql_reads_a_statement_from_standard_input_and_keeps_to_its_limit(shelf):
    done = shelf.cli("sql", "-", "--format", "json", "--limit", 3, stdin=b"select id from silver.flights")
    assert len(json.loads(done.out)) == 3


@pytest.mark.parametrize(
    "statement, parts",
    [
        ("select carier from silver.flights", ["carier", "carrier"]),
        ("select * from silver.flihgts", ["flihgts"]),
        ("selct 1", ["selct"]),
        ("select 1/0", ["ivide by zero"]),
        ("drop table silver.flights", ["DROP"]),
        ("insert into silver.flights values (1)", ["INSERT"]),
        ("copy silver.flights to '/tmp/x.csv'", ["COPY"]),
        ("create external table t stored as csv location '/etc/passwd'", ["CREATE"]),
        ("select * from '/etc/passwd'", ["/etc/passwd"]),
        ("select count(*) from at_version('silver.flights', 999)", ["999"]),
        ("", []),
        ("select 1; select 2", []),
        ("select sum(carrier) from silver.flights", ["sum"]),
        ("select '" + "x" * 100_000, []),
        ("select " + "(" * 5000 + "1" + ")" * 5000, []),
    ],
)
def test_bad_sql_is_refused_with_a_reason(shelf, statement, parts):
    done = shelf.cli("sql", "-", stdin=statement.encode(), ok=(1, 2))
    assert done.err.strip() and "panicked" not in done.err
    for part in parts:
        assert part.lower() in done.err.lower(), done.err


@pytest.mark.parametrize("table", ["streams", "segments", "consumers", "commits", "compactions", "configuration"])
def test_system_tables_can_be_read_beside_a_running_process_and_without_one(shelf, trips, table):
    for pipeline in (shelf, trips):
        rows = pipeline.sql(f"select * from system.{table}")
        assert isinstance(rows, list)
        if table not in ("compactions", "consumers"):
            assert rows, table


def test_explain_names_the_plan(shelf):
    plan = shelf.sql("explain select carrier, count(*) from silver.flights where carrier = 'UA' group by 1")
    assert any("Aggregate" in value for row in plan for value in map(str, row.values()))


def test_zones_and_lookups_answer_alike_stopped_and_running(shelf, trips):
    for pipeline, events in ((shelf, 3010), (trips, 20_000)):
        for zone in ("raw", "bronze"):
            assert pipeline.sql(f"select count(*) as n from {zone}.flights") == [{"n": events}]
        assert pipeline.sql("select name from lookups.airlines where carrier = 'UA'")[0]["name"].startswith("United")
    assert shelf.sql("select count(*) as n from rejects.flights") == [{"n": 3}]


def test_a_large_result_streams_and_a_closed_pipe_ends_it_quietly(trips):
    statement = "select * from generate_series(1, 2000000)"
    done = trips.cli("sql", statement, "--format", "csv")
    assert done.stdout.count(b"\n") == 2_000_001
    shell = f'"{BOURN}" --dir "{trips.folder}" sql "{statement}" --format csv | head -n 2'
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, timeout=60)
    assert done.stdout == "value\n1\n" and done.stderr == "", done.stderr


def test_tail_prints_events_as_they_came_and_follows(make, flights):
    with make().running() as pipeline:
        pipeline.post(flights[:5], "?ack=visible")
        lines = pipeline.cli("tail", "flights", "-n", 3, "--no-follow").stdout.splitlines()
        assert lines == flights[2:5]
        tail = subprocess.Popen(
            [BOURN, "--dir", pipeline.folder, "tail", "flights", "-n", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        timer = threading.Timer(30, tail.kill)
        timer.start()
        try:
            assert tail.stdout.readline().rstrip() == flights[4]
            pipeline.post(flights[5:7])
            assert [tail.stdout.readline().rstrip() for _ in range(2)] == flights[5:7]
            tail.send_signal(signal.SIGINT)
            assert tail.wait(10) in (0, 130, -signal.SIGINT)
        finally:
            timer.cancel()
            tail.kill()


def test_rejects_are_listed_shown_mended_and_purged(make, flights):
    wrong = json.loads(flights[0]) | {"origin": "NYC"}
    pipeline = make()
    with pipeline.running():
        assert pipeline.post([json.dumps(wrong).encode(), *BAD]).json()["rejected"] == 4
        listed = json.loads(pipeline.cli("rejects", "ls", "flights", "--json").out)
        rows = listed if isinstance(listed, list) else listed["rejects"]
        assert len(rows) == 4, listed
        shown = pipeline.cli("rejects", "show", "flights", 0).out
        assert "/origin" in shown and "NYC" in shown
        pipeline.cli("rejects", "show", "flights", 99, ok=(1, 2))
        assert "schema" in pipeline.cli("rejects", "ls", "flights", "--reason", "nosuch", ok=(1, 2)).err

        fix = pipeline.folder / "fix.sql"
        fix.write_text("select _offset, replace(original, 'NYC', 'JFK') as event from rejects where original like '%NYC%'")
        pipeline.cli("rejects", "replay", "flights", "--fix", fix, "--dry-run")
        assert pipeline.ledger()["rejected"] == 4
        for _ in range(2):  # the second time there is nothing left to mend
            pipeline.cli("rejects", "replay", "flights", "--fix", fix)
            until(lambda: pipeline.ledger()["stored"] == 1, "the mended event")
        ledger = pipeline.settled()
        assert (ledger["stored"], ledger["rejected"]) == (1, 3), ledger
        assert pipeline.sql("select origin from silver.flights") == [{"origin": "JFK"}]
        pipeline.prove()

        assert pipeline.cli("rejects", "purge", "flights", ok=(1, 2)).err, "without a filter it asks for --all"
        pipeline.cli("rejects", "purge", "flights", "--all")
        assert pipeline.sql("select count(*) as n from rejects.flights") == [{"n": 0}]
        pipeline.prove()
    pipeline.prove()


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger",),
        ("ledger", "--prove"),
        ("rejects", "ls", "flights"),
        ("rejects", "show", "flights", "0"),
        ("compact",),
        ("fsck",),
        ("validate",),
        ("replay", "flights"),
        ("rejects", "replay", "flights", "--dry-run"),
    ],
)
def test_json_is_json_wherever_a_table_is_printed(shelf, arguments):
    json.loads(shelf.cli(*arguments, "--json").out)


def test_replay_gives_the_same_rows(shelf):
    columns = "id, carrier, dep_delay, airline, route, temperature_f, _offset"
    before = shelf.sql(f"select {columns} from silver.flights order by _offset")
    shelf.cli("replay", "flights")
    assert shelf.sql(f"select {columns} from silver.flights order by _offset") == before
    assert shelf.prove() == shelf.ledger()


@pytest.mark.parametrize(
    "arguments, code, parts",
    [
        (("rnu",), 2, ["rnu"]),
        (("sql", "--format", "xml", "select 1"), 2, ["json", "csv"]),
        (("send", "nosuch", "bourn.yaml"), 1, []),
        (("tail", "nosuch", "--no-follow"), 1, ["nosuch", "flights"]),
        (("rejects", "ls", "nosuch"), 1, ["nosuch", "flights"]),
        (("replay", "nosuch"), 1, ["nosuch", "flights"]),
        (("ledger", "nosuch"), 1, ["nosuch", "flights"]),
        (("fsck", "nosuch"), 1, ["nosuch", "flights"]),
        (("compact", "nosuch"), 1, ["nosuch", "flights"]),
        (("run", "--listen", "nonsense"), 1, ["nonsense"]),
        (("run", "--listen", "0.0.0.0:0", "--pg-listen", "127.0.0.1:0"), 1, ["allow_unauthenticated"]),
        (("--environment", "nosuch", "validate"), 2, ["nosuch"]),
    ],
)
def test_wrong_use_says_what_is_wrong(shelf, arguments, code, parts):
    done = shelf.cli(*arguments, ok=(1, 2), timeout=30)
    assert done.returncode in (code, 2) and done.err.strip(), done.err
    for part in parts:
        assert part in done.err, done.err


def test_verbs_in_a_folder_without_a_pipeline_name_the_file(tmp_path):
    for verb in (["run"], ["ledger"], ["sql", "select 1"], ["validate"], ["fsck"]):
        done = bourn("--dir", tmp_path, *verb, ok=(1, 2))
        assert "bourn.yaml" in done.err, (verb, done.err)


def test_init_does_not_write_over_a_folder(shelf):
    before = (shelf.folder / "bourn.yaml").read_bytes()
    assert bourn("init", "--template", "shop", shelf.folder, ok=(1, 2)).err
    assert (shelf.folder / "bourn.yaml").read_bytes() == before
    assert "shop" in bourn("init", "--template", "nosuch", shelf.folder.parent / "x", ok=(1, 2)).err


def test_a_second_process_on_the_folder_is_told_who_holds_it(trips):
    done = trips.cli("run", "--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0", ok=(4,))
    assert str(trips.process.pid) in done.err, done.err


def test_run_once_takes_in_the_files_and_prints_the_ledger(make, flights):
    pipeline = make()
    inbox = pipeline.folder / "inbox"
    inbox.mkdir(exist_ok=True)
    (inbox / "a.jsonl").write_bytes(b"\n".join(flights[:500]) + b"\n")
    zipped = subprocess.run(["zstd", "-c"], input=b"\n".join(flights[400:900]), capture_output=True, check=True)
    (inbox / "b.jsonl.zst").write_bytes(zipped.stdout)
    ports = ("--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0")
    for _ in range(2):  # the second time the files are known
        out = pipeline.cli("run", "--once", "--json", *ports).out
        ledger = json.loads(out[out.index("{") :])["flights"]
        assert (ledger["received"], ledger["stored"], ledger["duplicate"]) == (1000, 900, 100)
    assert pipeline.prove()["stored"] == 900


def test_ctrl_c_drains_and_nothing_is_in_flight_after(make, flights):
    pipeline = make().start()
    assert pipeline.post(flights[:2000]).json()["accepted"] == 2000
    pipeline.process.send_signal(signal.SIGINT)
    assert pipeline.process.wait(30) in (0, 130)
    assert pipeline.ledger()["in_flight"] == 0 and pipeline.ledger()["stored"] == 2000
    assert "drain" in pipeline.said()


def test_a_second_ctrl_c_stops_at_once_and_loses_nothing(make, flights):
    pipeline = make().start()
    slow = http_that_never_ends(pipeline)
    assert pipeline.post(flights[:2000]).json()["accepted"] == 2000
    pipeline.process.send_signal(signal.SIGINT)
    until(lambda: "drain" in pipeline.said(), "the first Ctrl-C")
    pipeline.process.send_signal(signal.SIGINT)
    assert pipeline.process.wait(20) in (0, 130)
    slow.close()
    with pipeline.running():
        assert pipeline.settled()["stored"] == 2000
        pipeline.prove()


def http_that_never_ends(pipeline):
    import socket

    host, _, port = pipeline.http.rpartition(":")
    sock = socket.create_connection((host, int(port)))
    sock.sendall(b"POST /v1/streams/flights HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    return sock


class Terminal:
    """A command in a pseudo terminal."""

    def __init__(self, *command):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", COLUMNS="100", LINES="40")
            os.execv(command[0], list(map(str, command)))
        self.seen = ""

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, deadline_s=20):
        end = time.monotonic() + deadline_s
        while text not in self.seen:
            assert time.monotonic() < end, f"{text!r} is not in {self.seen!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    assert text in self.seen, self.seen
        self.seen = self.seen[self.seen.index(text) + len(text) :]

    def end(self, deadline_s=20):
        """The exit code; a command that does not end is killed."""
        end = time.monotonic() + deadline_s
        while not (waited := os.waitpid(self.pid, os.WNOHANG))[0]:
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(0.02)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(waited[1])


def test_the_prompt_answers_goes_on_after_an_error_and_ends_with_ctrl_d(trips):
    terminal = Terminal(BOURN, "--dir", trips.folder, "sql")
    terminal.expect(">")
    terminal.type("select 6 * 7 as answer;\r")
    terminal.expect("42")
    terminal.type("selct;\r")
    terminal.expect("xpected")
    terminal.type("select count(*)\r")
    terminal.expect("...")
    terminal.type("from silver.flights;\r")
    terminal.expect("20000")
    terminal.expect("bourn>")
    terminal.type("\x03")
    terminal.expect("bourn>")
    terminal.type("select 'still' || ' here';\r")
    terminal.expect("still here")
    # Before the prompt the terminal does not belong to it yet, and the key would be lost.
    terminal.expect("bourn>")
    terminal.type("\x04")
    assert terminal.end() == 0
