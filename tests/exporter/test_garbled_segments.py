"""A damaged segment never spoils a page: its series count as they were written, or not at all."""

import math
import os
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfsdk.catalog import Metric
from perfsdk.store.format import PAGE, unpack_header
from perfsdk.store.writer import Writer
from perfsdk_exporter.formats.exposition import render_openmetrics, render_text
from perfsdk_exporter.formats.protobuf import render_protobuf
from perfsdk_exporter.segments.aggregation import Aggregator
from perfsdk_exporter.segments.discovery import Segments

EXAMPLES = int(os.environ.get("PERFSDK_FUZZ_EXAMPLES", "1500"))
"""All of them together; `make soak` takes a hundred thousand."""

COUNTER = Metric(name="c_total", kind="counter", help="C.", labels=("r",))
GAUGE = Metric(name="g", kind="gauge", help="G.")
HISTOGRAM = Metric(
    name="h_seconds", kind="histogram", unit="seconds", help="H.", labels=("r",), bounds=(0.1, 1.0),
    native=True,
)  # fmt: skip
SIZE_BYTES = 64 << 10
RENDER = (render_text, render_openmetrics, render_protobuf)


def fill(directory, weight):
    """A dead process's segment with series of all kinds; every value is told by `weight`."""
    writer = Writer(directory, size_bytes=SIZE_BYTES)
    values = writer.values
    for route in ("/a", "/b"):
        cell = writer.series(COUNTER, (route,))
        values = writer.values
        values[cell] = weight
        cell, blocks = writer.series(HISTOGRAM, (route,)), {}
        values[cell], values[cell + 2] = weight / 2, weight
        values[writer.block(cell, 0, blocks)] = weight
    values[writer.series(GAUGE, ())] = weight
    path = writer.segment.path
    writer.close()
    return path


class Damaged:
    """A directory with an intact segment and one that is to be damaged."""

    def __init__(self, directory):
        self.directory = directory
        self.intact = fill(directory, 1.0)
        self.path = fill(directory, 16.0)
        self.bytes = self.path.read_bytes()
        header = unpack_header(self.bytes)
        records = int.from_bytes(self.bytes[80:88], "little")
        self.cells = (PAGE, PAGE + int.from_bytes(self.bytes[72:80], "little") * 8)
        self.described = (header.records_offset, header.records_offset + records)

    def page(self, data):
        """All totals with the second file as it is given, as numbers."""
        self.path.write_bytes(data)
        segments = Segments()
        try:
            snapshots, _ = segments.read(self.directory)
            families = Aggregator().aggregate(snapshots, 0.0).families
        finally:
            segments.close()
        for render in RENDER:
            assert b"".join(render(families))
        return list(numbers(families))


def numbers(families):
    """(name, labels, what, number) of everything on the page."""
    for family in families:
        for labels, value in family.values.items():
            yield family.name, labels, "value", value
        for labels, histogram in family.histograms.items():
            yield family.name, labels, "sum", histogram.sum
            for bucket, count in enumerate(histogram.buckets):
                yield family.name, labels, bucket, count
            if histogram.native is not None:
                total = histogram.native.zero + sum(histogram.native.buckets.values())
                yield family.name, labels, "native", total


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """One directory for all examples: each writes the second file anew."""
    return Damaged(tmp_path_factory.mktemp("garbled"))


thorough = settings(
    max_examples=EXAMPLES // 3,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_the_intact_page(damaged):
    """What the examples are compared with: both segments."""
    found = damaged.page(damaged.bytes)
    assert ("c_total", ("/a",), "value", 17.0) in found
    assert ("h_seconds", ("/b",), "native", 17.0) in found


@thorough
@given(data=st.data())
def test_a_damaged_description_adds_nothing_wrong(damaged, data):
    """Bits flipped in header and records: each total has all of the segment, or nothing of it."""
    garbled = bytearray(damaged.bytes)
    first, last = damaged.described
    places = st.integers(0, 87) | st.integers(first, last - 1)
    for place in data.draw(st.lists(places, min_size=1, max_size=5)):
        garbled[place] ^= data.draw(st.integers(1, 255))
    for _, _, what, number in damaged.page(bytes(garbled)):
        allowed = {"sum": (0.0, 0.5, 8.0, 8.5)}.get(what, (0.0, 1.0, 16.0, 17.0))
        assert number in allowed


@thorough
@given(data=st.data())
def test_a_file_of_any_length_or_content(damaged, data):
    """Cut, overwritten, moved or replaced by noise: the intact process's totals stay."""
    garbled = bytearray(damaged.bytes)
    for kind in data.draw(st.lists(st.sampled_from(["cut", "noise", "move"]), max_size=3)):
        place = data.draw(st.integers(0, max(0, len(garbled) - 1)))
        if kind == "cut":
            del garbled[place:]
        elif kind == "noise":
            noise = data.draw(st.binary(max_size=64))
            garbled[place : place + len(noise)] = noise
        else:
            other = data.draw(st.integers(0, max(0, len(garbled) - 1)))
            garbled[place : place + 64] = garbled[other : other + 64]
    found = damaged.page(bytes(garbled))
    assert all(math.isfinite(number) for *_, number in found)
    counts = {(name, labels): number for name, labels, what, number in found if what == "value"}
    for route in ("/a", "/b"):
        assert counts["c_total", (route,)] >= 1.0


reals = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.5, 2.0**53, 1e308])


@thorough
@given(data=st.data())
def test_cells_of_any_value(damaged, data):
    """What no process writes is on no page: nothing negative, no part of a count, no NaN."""
    garbled = bytearray(damaged.bytes)
    first, last = damaged.cells
    cells = st.integers(first // 8, last // 8 - 1)
    for cell, value in data.draw(st.lists(st.tuples(cells, reals), min_size=1, max_size=6)):
        struct.pack_into("<d", garbled, cell * 8, value)
    for name, _, what, number in damaged.page(bytes(garbled)):
        assert math.isfinite(number)
        if what not in ("sum", "value"):
            assert number >= 0.0
            assert number == int(number)
        elif name == "c_total":
            assert number >= 1.0
