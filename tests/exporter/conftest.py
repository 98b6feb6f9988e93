"""What the exporter's tests share: segments written by the real writer, and a collector."""

from contextlib import contextmanager
from pathlib import Path

import pytest

from perfsdk.catalog import Metric
from perfsdk.store.writer import Writer
from perfsdk_exporter.collection import Collector
from perfsdk_exporter.location import Location

SIZE_BYTES = 256 << 10

REQUESTS = Metric(name="requests_total", kind="counter", help="Requests.", labels=("route",))
SECONDS = Metric(
    name="wait_seconds",
    kind="histogram",
    unit="seconds",
    help="Waiting.",
    labels=("route",),
    bounds=(0.1, 1.0),
)
ACTIVE = Metric(name="active", kind="gauge", help="At work.")


@pytest.fixture
def segment_directory(tmp_path_factory):
    """An empty directory for this test's segments."""
    return tmp_path_factory.mktemp("segments")


@pytest.fixture
def write():
    """Writes a segment: `write(directory, (metric, labels, cells), ...)` returns its writer.

    The writer lives until the test ends, or until it is closed.
    """
    writers = []

    def write_segment(directory, *series):
        writer = Writer(Path(directory), size_bytes=SIZE_BYTES)
        writers.append(writer)
        for metric, labels, cells in series:
            cell = writer.series(metric, labels)
            for offset, value in enumerate(cells):
                writer.values[cell + offset] = value
        return writer

    yield write_segment
    for writer in writers:
        writer.close()


@contextmanager
def collecting(directory):
    """A collector of one directory, closed at the end."""
    collector = Collector(Location(str(directory), None))
    try:
        yield collector
    finally:
        collector.close()


@pytest.fixture
def collector(segment_directory):
    """A collector of the test's own directory."""
    with collecting(segment_directory) as collector:
        yield collector


@pytest.fixture
def totals():
    """What a collection shows of the application: `totals(collection)` is {name: {labels: v}}.

    The value of a histogram is (buckets, sum).
    """

    def totals_of(collection):
        return {
            family.name: family.values
            or {labels: (h.buckets, h.sum) for labels, h in family.histograms.items()}
            for family in collection.families
            if not family.name.startswith("perfsdk_exporter_")
        }

    return totals_of


@pytest.fixture
def self_metric():
    """A metric of the exporter about itself: `self_metric(collection, "segments")`."""

    def values_of(collection, name):
        (family,) = [f for f in collection.families if f.name == f"perfsdk_exporter_{name}"]
        return {labels[0] if labels else "": value for labels, value in family.values.items()}

    return values_of
