"""Fixtures: one running flights pipeline for those who only look, and a maker of others."""

import pytest

from harness import Pipeline, sample


@pytest.fixture(scope="session")
def flights():
    return sample("flights", 20_000)


@pytest.fixture(scope="session")
def purchases():
    return sample("purchases", 20_000)


@pytest.fixture
def make(tmp_path):
    """Makes a pipeline that is not running yet; kills what a failed test leaves behind."""
    made = []

    def make(template="flights", stream="flights", change=None, **options):
        pipeline = Pipeline(tmp_path / f"{template}{len(made)}", template, stream, change, **options)
        made.append(pipeline)
        return pipeline

    yield make
    for pipeline in made:
        if pipeline.process is not None and pipeline.process.poll() is None:
            pipeline.kill()


@pytest.fixture(scope="session")
def trips(tmp_path_factory, flights):
    """20,000 real flights sent by `bourn send`, in a pipeline that serves; stopped with SIGTERM."""
    folder = tmp_path_factory.mktemp("trips") / "trips"
    pipeline = Pipeline(folder, "flights", "flights").start()
    sent = folder / "part.jsonl"
    sent.write_bytes(b"\n".join(flights) + b"\n")
    try:
        done = pipeline.cli("send", "flights", sent)
        assert "20000 events accepted, 0 rejected" in done.out + done.err
        yield pipeline
    except BaseException:
        pipeline.kill()
        raise
    pipeline.stop()
