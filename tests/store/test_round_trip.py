"""What a writer is given, a reader has: any metric that makes sense, any label values."""

import math
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.catalog import Metric
from perfsdk.store.format import SCRATCH_CELLS
from perfsdk.store.writer import SCRATCH, Writer, cell_count
from tests.store.metrics import read

names = st.from_regex("[a-zA-Z_][a-zA-Z0-9_]{0,30}", fullmatch=True)
texts = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["", "\0", "\n", '"\\', "\ud800", "\udc80\udcff", "x" * 10_000, "é" * 10_000, "\U0001f600"]
)
bounds = st.lists(
    st.floats(allow_nan=False, allow_infinity=False), unique=True, max_size=SCRATCH_CELLS - 3
).map(lambda values: tuple(sorted(values)))


@st.composite
def metrics(draw):
    """Any metric of the catalog's type that a reader accepts."""
    kind = draw(st.sampled_from(["counter", "gauge", "histogram"]))
    histogram = kind == "histogram"
    return Metric(
        name=draw(names),
        kind=kind,
        help=draw(texts),
        unit=draw(texts),
        labels=tuple(draw(st.lists(names, unique=True, max_size=5))),
        bounds=draw(bounds) if histogram else (),
        merge=draw(st.sampled_from(["sum", "min", "max", "newest", "oldest", "worker"]))
        if kind == "gauge"
        else "sum",
        native=histogram and draw(st.booleans()),
    )


@st.composite
def series(draw):
    """A metric, the label values of a series, the values of its cells and its native blocks."""
    metric = draw(metrics())
    labels = [draw(texts) for _ in metric.labels]
    count = cell_count(metric)
    values = draw(st.lists(st.floats(), min_size=count, max_size=count))
    blocks = draw(st.sets(st.integers(-1074, 1024), max_size=3)) if metric.native else set()
    return metric, labels, values, blocks


def encodable(text):
    """The text as UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def bits(values):
    """Floats that compare equal when they are the same, NaN included."""
    return ["nan" if math.isnan(value) else value.hex() for value in values]


@settings(max_examples=40, deadline=None)
@given(st.lists(series(), max_size=6))
def test_everything_written_is_read(written):
    """Descriptions, labels, cells and blocks come back in order, whatever they are."""
    with tempfile.TemporaryDirectory() as directory:
        writer = Writer(Path(directory), size_bytes=4 << 20)
        writer.revive()
        made = []
        for metric, labels, values, blocks in written:
            cell = writer.series(metric, labels)
            assert SCRATCH != cell
            for index, value in enumerate(values):
                writer.values[cell + index] = value
            made.append((cell, {number: writer.block(cell, number) for number in blocks}))
        reader = read(writer.segment.path)
        writer.close()
        reader.close()
    assert 0 == reader.unreadable_records
    assert len(written) == len(reader.series)
    for (metric, labels, values, _), (cell, blocks), found in zip(
        written, made, reader.series, strict=True
    ):
        assert (cell, blocks) == (found.cell, found.blocks)
        assert tuple(map(encodable, labels)) == found.labels
        assert encodable(metric.help) == found.metric.help
        assert encodable(metric.unit) == found.metric.unit
        for attribute in ("name", "kind", "labels", "bounds", "merge", "native"):
            assert getattr(metric, attribute) == getattr(found.metric, attribute)
        assert bits(values) == bits(reader.values[cell : cell + len(values)])
