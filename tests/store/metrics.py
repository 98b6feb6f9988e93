"""Metrics of every kind for the tests of the store, and short ways to read what was written."""

from perfsdk.catalog import Metric
from perfsdk.store.reader import SegmentReader, find_segments

COUNTER = Metric(name="keys_total", kind="counter", help="Keys.", labels=("name",))
TOTAL = Metric(name="calls_total", kind="counter", help="Calls.")
ACTIVE = Metric(name="active", kind="gauge", help="Being served.")
LOWEST = Metric(name="lowest", kind="gauge", help="Lowest seen.", merge="min")
HIGHEST = Metric(name="highest", kind="gauge", help="Highest seen.", merge="max")
NEWEST = Metric(name="newest", kind="gauge", help="Last seen.", merge="newest")
OLDEST = Metric(name="age_seconds", kind="gauge", help="Age.", unit="seconds", merge="oldest")
WORKER = Metric(name="memory_bytes", kind="gauge", help="Memory.", unit="bytes", merge="worker")
SECONDS = Metric(
    name="wait_seconds",
    kind="histogram",
    help="Time waited.",
    unit="seconds",
    labels=("queue",),
    bounds=(0.1, 1.0),
)
NATIVE = Metric(
    name="request_seconds",
    kind="histogram",
    help="Time.",
    unit="seconds",
    bounds=(0.1, 1.0),
    native=True,
)
EVERY_KIND = (TOTAL, ACTIVE, LOWEST, HIGHEST, NEWEST, OLDEST, WORKER, NATIVE)


def read(path):
    """A reader of one segment with a fresh snapshot; the caller closes it."""
    reader = SegmentReader(path)
    reader.refresh()
    return reader


def snapshots(directory):
    """For each segment of a directory: {(metric name, *labels): the sum of its first cells}."""
    found = []
    for path in find_segments(directory):
        reader = read(path)
        values = {}
        for series in reader.series:
            key = (series.metric.name, *series.labels)
            values[key] = values.get(key, 0.0) + reader.values[series.cell]
        reader.close()
        found.append(values)
    return found


def snapshot(directory):
    """The values of the only segment of a directory, see `snapshots`."""
    (values,) = snapshots(directory)
    return values


def only_segment(directory):
    """The path of the only segment of a directory."""
    (path,) = find_segments(directory)
    return path
