"""The lake and the log as other programs read them, equal to what `bourn sql` says."""

import gzip
import importlib.util
import io
import json
import pathlib
import subprocess

import duckdb
import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pytest
from deltalake import DeltaTable

from harness import until

COMMITS = 56
FIGURES = "count(*), sum(_offset), sum(dep_delay), count(distinct dest), sum(distance_miles)"


@pytest.fixture(scope="module")
def lake(tmp_path_factory, flights):
    """A table after enough commits for a checkpoint, and a compaction; sealed and active segments."""
    from harness import Pipeline

    def change(definition):
        stream = definition["streams"]["flights"]
        stream["log"] = {"segment": "1MiB"}
        stream["commit"] = {"every": "20ms"}
        stream["compaction"] = {"every": "1s", "min_files": 2}

    pipeline = Pipeline(tmp_path_factory.mktemp("lake") / "trips", "flights", "flights", change)
    with pipeline.running():
        # Big first, so that the log seals segments; then one commit after the other.
        big, rest = flights[:14_000], flights[14_000:]
        assert pipeline.post(b"\n".join(noisy(big))).json()["accepted"] == 14_000
        size = len(rest) // COMMITS
        for n in range(COMMITS):
            part = rest[n * size : (n + 1) * size]
            assert pipeline.post(part, "?ack=visible").json()["accepted"] == size
            until(lambda: pipeline.query("select in_flight from system.streams where stream = 'flights'").json()[0]["in_flight"] == 0, "commit")
        pipeline.cli("compact", "flights")
        log = pipeline.folder / "lake/silver/flights/_delta_log"
        until(lambda: list(log.glob("*.checkpoint.parquet")), "a checkpoint")
        pipeline.events = 14_000 + COMMITS * size
        pipeline.figures = tuple(pipeline.sql(f"select {FIGURES} from silver.flights")[0].values())
    assert pipeline.figures[0] == pipeline.events
    return pipeline


def noisy(events):
    """The events with a field the schema does not name, which compresses badly: segments fill."""
    import hashlib

    for n, event in enumerate(events):
        noise = "".join(hashlib.sha256(f"{n}/{k}".encode()).hexdigest() for k in range(4))
        yield event[:-1] + f',"noise":"{noise}"}}'.encode()


def table(lake):
    return lake.folder / "lake/silver/flights"


def test_the_table_went_through_compaction_and_a_checkpoint(lake):
    operations = {action["operation"] for action in DeltaTable(table(lake)).history()}
    assert "OPTIMIZE" in operations, operations
    assert (table(lake) / "_delta_log/_last_checkpoint").exists()


def test_deltalake_reads_the_rows_bourn_sees(lake):
    rows = DeltaTable(table(lake)).to_pyarrow_table()
    got = (
        rows.num_rows,
        pc.sum(rows["_offset"]).as_py(),
        pc.sum(rows["dep_delay"]).as_py(),
        pc.count_distinct(rows["dest"]).as_py(),
        pc.sum(rows["distance_miles"]).as_py(),
    )
    assert got == lake.figures


def test_duckdb_reads_the_rows_bourn_sees(lake, tmp_path):
    connection = duckdb.connect()
    connection.execute(f"load '{delta_extension(tmp_path)}'")
    got = connection.execute(f"select {FIGURES} from delta_scan('{table(lake)}')").fetchone()
    assert tuple(map(int, got)) == lake.figures


def delta_extension(folder):
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_delta").origin).parent
    extension = next(package.rglob("*.duckdb_extension*"))
    if extension.suffix == ".gz":
        plain = folder / extension.stem
        plain.write_bytes(gzip.decompress(extension.read_bytes()))
        extension = plain
    return extension


def test_polars_reads_the_rows_bourn_sees(lake):
    columns = [
        polars.len(),
        polars.col("_offset").sum(),
        polars.col("dep_delay").sum(),
        polars.col("dest").n_unique().cast(int),
        polars.col("distance_miles").sum(),
    ]
    columns = [column.alias(str(n)) for n, column in enumerate(columns)]
    assert polars.scan_delta(str(table(lake))).select(columns).collect().row(0) == lake.figures


def test_an_old_version_is_the_same_to_deltalake_and_to_bourn(lake):
    version = 20
    old = DeltaTable(table(lake), version=version).to_pyarrow_table().num_rows
    assert 0 < old < lake.events
    assert lake.sql(f"select count(*) as n from at_version('silver.flights', {version})") == [{"n": old}]


@pytest.fixture(scope="module")
def segments(lake):
    """The files of the raw zone, sealed ones and the one that was being written."""
    sealed = sorted((lake.folder / "lake/raw/flights").rglob("*.jsonl.zst"))
    active = sorted((lake.folder / ".bourn/streams/flights/events").glob("*.jsonl.zst"))
    assert len(sealed) >= 2 and active, (sealed, active)
    assert all(path.parent.name.startswith("hour=") for path in sealed)
    return sealed, active


def test_zstdcat_reads_every_segment_and_finds_every_event_in_order(lake, segments, flights):
    sealed, active = segments
    ids = []
    for path in distinct(sealed + active):
        text = subprocess.run(["zstdcat", path], capture_output=True, check=True).stdout
        ids += [json.loads(line)["id"] for line in text.splitlines()]
    assert ids == [json.loads(event)["id"] for event in flights[: lake.events]]


def distinct(paths):
    """One path of each segment, by first offset: a sealed one may be in both places."""
    return [path for _, path in sorted({path.name: path for path in paths}.items())]


def test_duckdb_reads_raw_segments_as_they_are(lake, segments):
    sealed, active = segments
    total = 0
    for path in distinct(sealed + active):
        query = f"select count(*), count(distinct id) from read_json('{path}', format='newline_delimited')"
        count, ids = duckdb.sql(query).fetchone()
        assert count == ids
        total += count
    assert total == lake.events


def test_polars_reads_raw_segments_as_they_are(lake, segments):
    sealed, active = segments
    assert sum(polars.read_ndjson(path).height for path in distinct(sealed + active)) == lake.events


def test_pyarrow_reads_raw_segments_as_they_are(lake, segments):
    sealed, active = segments
    total = 0
    for path in distinct(sealed + active):
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as plain:
            total += pyarrow.json.read_json(io.BytesIO(plain.read())).num_rows
    assert total == lake.events
