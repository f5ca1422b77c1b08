"""A pipeline as a user runs it: the real binary, a folder, real ports."""

import contextlib
import http.client
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

import yaml

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
BOURN = os.environ.get("BOURN", str(REPOSITORY / "target/debug/bourn"))
DEADLINE_S = 60
OUTCOMES = ("received", "stored", "duplicate", "rejected", "filtered", "late", "in_flight")


class Yaml12(yaml.SafeLoader):
    """YAML 1.2 as Bourn reads it: `on` is a text, not a boolean."""

    yaml_implicit_resolvers = {
        first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def until(condition, what, deadline_s=DEADLINE_S):
    """Polls until `condition` gives something true, and returns that."""
    end = time.monotonic() + deadline_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {deadline_s} s"
        time.sleep(0.05)


def sample(name, lines):
    """The first lines of a template's real events: a list of bytes, without line ends."""
    path = REPOSITORY / "templates/data" / f"{name}.jsonl.zst"
    with subprocess.Popen(["zstdcat", path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        events = [line.rstrip(b"\n") for line, _ in zip(source.stdout, range(lines))]
        source.kill()
    assert len(events) == lines
    return events


def bourn(*arguments, ok=(0,), stdin=None, timeout=120, env=None):
    """Runs one verb to its end and returns it; its exit code is one of `ok`."""
    done = subprocess.run(
        [BOURN, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        timeout=timeout,
        env={**os.environ, **(env or {})},
    )
    done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    assert done.returncode in ok, f"{arguments}: exit {done.returncode}\n{done.out}\n{done.err}"
    assert "panicked" not in done.err, done.err
    return done


class Answer:
    """Status, headers and body of an HTTP answer."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class Pipeline:
    """A folder made from a template, and the process that runs it."""

    def __init__(self, folder, template, stream, change=None, env=None):
        self.folder, self.stream, self.env = pathlib.Path(folder), stream, env or {}
        bourn("init", "--template", template, self.folder)
        if change is not None:
            self.redefine(change)
        self.process = None

    def redefine(self, change):
        path = self.folder / "bourn.yaml"
        definition = yaml.load(path.read_text(), Yaml12)
        change(definition)
        path.write_text(yaml.safe_dump(definition, sort_keys=False))

    def start(self, *arguments):
        self.log = open(self.folder / "run.log", "ab")
        self.process = subprocess.Popen(
            [BOURN, "--dir", self.folder, "run", "--listen", "127.0.0.1:0", "--pg-listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, **self.env},
        )
        lines = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, lines), daemon=True).start()
        try:
            line = lines.get(timeout=DEADLINE_S)
        except queue.Empty:
            line = ""
        if not line.startswith("ready "):
            self.process.kill()
            raise AssertionError(f"no ready line but {line!r}\n{self.said()}")
        self.http, self.pg = (word.partition("=")[2] for word in line.split()[1:])
        self.url = f"http://{self.http}"
        return self

    @staticmethod
    def _read(stream, lines):
        for line in stream:
            lines.put(line.decode())
        lines.put("")

    def said(self):
        return (self.folder / "run.log").read_text(errors="replace")

    def stop(self):
        """Drains; the process ends by itself with 0 and never panicked."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=DEADLINE_S)
        self.log.close()
        said = self.said()
        assert code == 0, f"exit {code}\n{said}"
        assert "panicked" not in said, said

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    @contextlib.contextmanager
    def running(self, *arguments):
        self.start(*arguments)
        try:
            yield self
        except BaseException:
            self.kill()
            raise
        self.stop()

    def cli(self, *arguments, **options):
        options.setdefault("env", self.env)
        return bourn("--dir", self.folder, *arguments, **options)

    def sql(self, statement):
        return json.loads(self.cli("sql", statement, "--format", "json").out)

    def ledger(self):
        return {k: v for k, v in json.loads(self.cli("ledger", "--json").out)[self.stream].items() if k in OUTCOMES}

    def prove(self):
        """Both columns of the proof, which are equal."""
        proof = json.loads(self.cli("ledger", "--prove", "--json").out)[self.stream]
        for name in OUTCOMES:
            assert proof[name]["counted"] == proof[name]["recounted"], (name, proof)
        return {name: proof[name]["counted"] for name in OUTCOMES}

    def settled(self, deadline_s=DEADLINE_S):
        return until(lambda: (l := self.ledger())["in_flight"] == 0 and l, "everything committed", deadline_s)

    def request(self, method, path, body=None, headers=None, timeout=60):
        connection = http.client.HTTPConnection(self.http, timeout=timeout)
        try:
            try:
                connection.request(method, path, body, headers or {})
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before the whole body was sent; the answer is there to be read
            got = connection.getresponse()
            return Answer(got.status, got.headers, got.read())
        finally:
            connection.close()

    def post(self, events, query="", headers=None, content_type="application/x-ndjson", stream=None):
        body = events if isinstance(events, bytes) else b"\n".join(events)
        path = f"/v1/streams/{stream or self.stream}{query}"
        return self.request("POST", path, body, {"content-type": content_type, **(headers or {})})

    def query(self, statement, accept="application/json", headers=None):
        headers = {"content-type": "text/plain", "accept": accept, **(headers or {})}
        return self.request("POST", "/v1/sql", statement.encode(), headers)
