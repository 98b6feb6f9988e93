"""What is added up by its changes alone is what a first look at the same files gives."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfsdk.catalog import Metric
from perfsdk.store.format import FormatError
from perfsdk.store.writer import Writer
from perfsdk_exporter.reaping.reaper import Reaper
from perfsdk_exporter.segments.aggregation import Aggregator
from perfsdk_exporter.segments.discovery import Segments
from perfsdk_exporter.segments.kept_cells import KeptCells

SIZE_BYTES = 64 << 10
NOW = 1000.0
DURATION = Metric(
    name="duration_seconds", kind="histogram", help="Time.", unit="seconds", labels=("route",),
    bounds=(0.1, 1.0, 10.0), native=True,
)  # fmt: skip
SIZE = Metric(name="size", kind="histogram", help="Size.", labels=("route",), bounds=(10.0, 20.0))
CALLS = Metric(name="calls_total", kind="counter", help="Calls.", labels=("route",))
ACTIVE = Metric(name="active", kind="gauge", help="At work.", labels=("route",))
NEWER_SIZE = Metric(
    name="size", kind="histogram", help="Size.", labels=("route",), bounds=(10.0, 15.0, 20.0)
)


class Process:
    """A real writer, whose records are as an application makes them."""

    def __init__(self, directory):
        self.writer = Writer(directory, size_bytes=SIZE_BYTES)
        self.cells, self.blocks = {}, {}

    def cell(self, metric, route, number=0):
        """The first cell of a series that is described once or, of odd numbers, once more."""
        key = metric.name, len(metric.bounds), route, number % 2
        if key not in self.cells:
            self.cells[key] = self.writer.series(metric, (route,))
        return self.cells[key]

    def count(self, metric, route):
        """Add to a counter or a gauge what no sum of reals holds exactly."""
        cell = self.cell(metric, route)
        self.writer.values[cell] += 0.1

    def observe(self, metric, route, number):
        """Add to the sum, to a bucket and to a native one."""
        cell = self.cell(metric, route, number)
        values = self.writer.values
        values[cell] += number / 3
        values[cell + 1 + metric.native + number % (len(metric.bounds) + 1)] += 1.0
        if metric.native:
            known = self.blocks.setdefault(cell, {})
            values[self.writer.block(cell, number % 4, known) + number % 8] += 1.0

    def describe(self, metric, route):
        """Make a series that nothing was added to."""
        self.cell(metric, route)

    def tear(self, route, part):
        """An observation of which only one part arrived, for good or for now."""
        cell = self.cell(DURATION, route)
        known = self.blocks.setdefault(cell, {})
        part_of_it = cell + 2 if part == "classic" else self.writer.block(cell, 0, known)
        self.writer.values[part_of_it] += 1.0

    def damage(self, value):
        """Store what no process writes, or what makes good what was stored before."""
        cell = self.cell(DURATION, "/a")
        self.writer.values[cell + 2] = value


routes = st.sampled_from(["/a", "/b", "/c"])
numbers = st.integers(0, 2)
steps = st.lists(
    st.tuples(
        st.one_of(
            st.tuples(st.just("count"), numbers, st.sampled_from([CALLS, ACTIVE]), routes),
            st.tuples(
                st.just("observe"),
                numbers,
                st.sampled_from([DURATION, SIZE, NEWER_SIZE]),
                routes,
                st.integers(0, 9),
            ),
            st.tuples(st.just("describe"), numbers, st.sampled_from([SIZE, CALLS]), routes),
            st.tuples(st.just("tear"), numbers, routes, st.sampled_from(["classic", "native"])),
            st.tuples(st.just("damage"), numbers, st.sampled_from([math.nan, -1.0, 0.5, 0.0])),
            st.tuples(st.just("end"), numbers),
            st.tuples(st.just("lose"), numbers),
            st.tuples(st.just("reap")),
            st.tuples(st.just("read only")),
        ),
        st.booleans(),
    ),
    max_size=30,
)
"""What happens, and whether somebody looks at it."""


def page(segments, aggregator, directory):
    """Families and what was left out, as they can be compared.

    At the second look: at the first, an observation that was torn may be on its way.
    """
    for _ in range(2):
        snapshots, _ = segments.read(directory)
        found = aggregator.aggregate(snapshots, NOW)
        segments.settle()
    return found.families, sorted(found.left_out, key=str)


@given(steps)
@settings(max_examples=150)
def test_a_kept_page_is_a_fresh_page(steps):
    """Whatever processes recorded, damaged or left behind between two looks."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        processes = [Process(directory) for _ in range(3)]
        kept, aggregator, reaper = Segments(), Aggregator(), Reaper()
        try:
            for (kind, *rest), looks in steps:
                match kind:
                    case "read only":  # as when the archive was replaced meanwhile
                        kept.read(directory)
                    case "reap":
                        reaper.reap(directory)
                    case "end" | "lose":
                        writer = processes[rest[0]].writer
                        path = writer.segment.path if processes[rest[0]].cells else None
                        writer.close()
                        if kind == "lose" and path is not None:
                            path.unlink(missing_ok=True)
                        processes[rest[0]] = Process(directory)
                    case _:
                        getattr(processes[rest[0]], kind)(*rest[1:])
                if looks:
                    fresh = Segments()
                    expected = page(fresh, Aggregator(), directory)
                    fresh.close()
                    assert expected == page(kept, aggregator, directory)
        finally:
            kept.close()
            for process in processes:
                process.writer.close()


def test_a_native_bucket_that_arrives_late(segment_directory):
    """The half of an observation that was missing is counted where it belongs."""
    process, segments, aggregator = Process(segment_directory), Segments(), Aggregator()
    process.tear("/a", "native")
    for part, expected in (
        ("classic", (0.0, 1.0)),
        ("classic", (1.0, 1.0)),
        ("native", (0.0, 2.0)),
    ):
        process.tear("/a", part)
        ((family,), _) = page(segments, aggregator, segment_directory)
        native = family.histograms["/a",].native
        assert expected == (native.zero, native.buckets[0])
    segments.close()
    process.writer.close()


def test_only_what_changed_is_another_object(write, segment_directory):
    """A series that nobody added to is neither added up nor written again."""
    labels = [(f"/{number}",) for number in range(100)]
    writer = write(segment_directory, *((SIZE, one, [1.0, 1.0, 0.0, 0.0]) for one in labels))
    segments, aggregator = Segments(), Aggregator()
    ((before,), _) = page(segments, aggregator, segment_directory)
    writer.values[writer.series(SIZE, ("/50",)) + 2] += 1.0
    ((after,), _) = page(segments, aggregator, segment_directory)
    segments.close()
    expected = [("/50",)]
    same = {one: before.histograms[one] is after.histograms[one] for one in labels}
    assert expected == [one for one, is_same in same.items() if not is_same]


class Cells:
    """Stands for a reader of these numbers."""

    def __init__(self):
        self.values = np.zeros(0)

    @property
    def described_cells(self):
        return len(self.values)

    def read_cells(self, first, into):
        end = first + into.nbytes // 8
        if end > len(self.values):
            raise FormatError("truncated")
        into.cast("B")[:] = self.values[first:end].tobytes()


cells = st.lists(st.sampled_from([0.0, 1.0, -0.0, math.nan, math.inf]), max_size=40)


@given(st.lists(st.tuples(cells, st.booleans()), max_size=8), st.integers(1, 20))
def test_every_change_is_told_until_it_is_settled(readings, count):
    """Also one that is undone; at most what is in the same 64 bytes is told beside it."""
    kept, reader = KeptCells(), Cells()
    touched = set()
    for values, settle in readings:
        before = kept.values.view(np.uint64).tolist()
        # It only grows: what is described stays so.
        reader.values = np.array([*values, *reader.values[len(values) :]])
        kept.refresh(reader)
        after = kept.values.view(np.uint64).tolist()
        assert reader.values.view(np.uint64).tolist() == after
        before += [0] * (len(after) - len(before))
        touched |= {i // 8 for i, bits in enumerate(after) if bits != before[i]}
        places = np.arange(max(0, len(after) - count + 1))
        expected = [any(cell // 8 in touched for cell in range(i, i + count)) for i in places]
        assert expected == kept.changed(places, count).tolist()
        if settle:
            kept.settle()
            touched.clear()


def test_what_is_read_again_stays_when_it_is_gone():
    """A file that shrinks is noticed at the next reading, not in the middle of adding up."""
    kept, reader = KeptCells(), Cells()
    reader.values = np.array([1.0, 2.0, 3.0])
    kept.refresh(reader)
    reader.values = np.array([4.0, 5.0])
    kept.reread(reader, 0, 2)
    kept.reread(reader, 1, 2)
    expected = [4.0, 5.0, 3.0]
    assert expected == kept.values.tolist()
    with pytest.raises(FormatError):
        reader.read_cells(0, memoryview(bytearray(24)))
