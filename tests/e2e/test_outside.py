"""An outside API in a stream: away, flapping, hanging, and processes killed while they ask it."""

import http.server
import json
import random
import threading
import time

import pytest

from harness import until


class Api:
    """Knows every customer's tier, as long as `answer` says so."""

    def __init__(self):
        self.answer = lambda: 200
        self.asked = []
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                api.asked.append(self.path.rpartition("/")[2])
                status = api.answer()
                body = json.dumps({"tier": f"of {api.asked[-1]}"} if status == 200 else {}).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """Its clients are killed."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def api():
    api = Api()
    yield api
    api.server.shutdown()


def step(definition):
    return definition["streams"]["purchases"]["enrich"][-1]["http"]


def waits(definition):
    """The tier is waited for, and whoever the API does not know is a reject."""
    step(definition).update(on_failure="wait", missing="reject", timeout="2s")
    step(definition)["retry"] = {"max": 1, "initial": "5ms", "max_delay": "10ms"}
    step(definition)["breaker"] = {"failures": 4, "open": "200ms"}
    del step(definition)["cache"]
    definition["streams"]["purchases"]["commit"] = {"every": "200ms", "bytes": "1MB"}


def send(pipeline, events):
    part = pipeline.folder / "part.jsonl"
    part.write_bytes(b"\n".join(events) + b"\n")
    return pipeline.cli("send", "purchases", part)


def tiers(pipeline):
    """Distinct tiers, and rows without one."""
    row = pipeline.sql(
        "select count(distinct loyalty_tier) as tiers, count(*) - count(loyalty_tier) as without, count(*) as n "
        "from silver.purchases"
    )[0]
    return row["tiers"], row["without"], row["n"]


def test_a_service_that_is_away_costs_the_tier_and_nothing_else(make, purchases):
    pipeline = make("shop", "purchases", env={"LOYALTY_URL": "http://127.0.0.1:9"})
    with pipeline.running():
        send(pipeline, purchases[:5000])
        pipeline.settled()
        assert tiers(pipeline) == (0, 5000, 5000)
        metrics = pipeline.request("GET", "/metrics").body.decode()
        assert 'bourn_outbound_breaker_state{endpoint="purchases/enrich[2]"}' in metrics
    pipeline.prove()


def test_each_customer_is_asked_for_once(make, purchases, api):
    pipeline = make("shop", "purchases", env={"LOYALTY_URL": api.url})
    customers = {json.loads(event)["customer_id"] for event in purchases[:3000]}
    with pipeline.running():
        send(pipeline, purchases[:3000])
        pipeline.settled()
        assert tiers(pipeline) == (len(customers), 0, 3000)
    assert sorted(api.asked) == sorted(customers)
    pipeline.prove()


def test_killed_while_asking_a_fickle_service_every_purchase_ends_in_one_place(make, purchases, api):
    dice = random.Random(7)
    statuses = [200] * 14 + [503] * 4 + [404, 422]
    pipeline = make("shop", "purchases", waits, env={"LOYALTY_URL": api.url})
    for turn in range(8):
        api.answer = (lambda: 503) if turn % 4 == 3 else (lambda: dice.choice(statuses))
        pipeline.start()
        send(pipeline, purchases[turn * 300 : turn * 300 + 300])
        time.sleep(dice.random())
        pipeline.kill()
    api.answer = lambda: dice.choice(statuses)
    with pipeline.running():
        ledger = pipeline.settled()
    assert ledger["received"] == 2400
    assert ledger["rejected"] > 0 and ledger["stored"] > 0, ledger
    pipeline.prove()


def test_closing_does_not_wait_for_a_service_that_does_not_answer(make, purchases, api):
    pipeline = make("shop", "purchases", waits, env={"LOYALTY_URL": api.url})
    ended = threading.Event()
    for answer in (lambda: ended.wait(120) and 200, lambda: 503):
        api.answer = answer
        pipeline.start()
        send(pipeline, purchases[:50])
        until(lambda: api.asked, "it is asked")
        pipeline.stop()
    ended.set()
    api.answer = lambda: 200
    with pipeline.running():
        ledger = pipeline.settled()
    assert ledger["received"] == ledger["stored"] + ledger["duplicate"]
    pipeline.prove()
