"""The newest exemplar of each range of values, of whichever process, is on the page."""

from array import array
from pathlib import Path

import numpy as np

from perfsdk.store.description import MetricRecord
from perfsdk.store.exemplars import PAIR_CELLS, write_exemplar
from perfsdk.store.series import SeriesRecord, pack_places
from perfsdk_exporter.families import Exemplar
from perfsdk_exporter.segments.aggregation import Aggregator
from perfsdk_exporter.segments.discovery import SegmentSnapshot, SeriesGroup

BOUNDS = (0.1, 1.0)
METRIC = MetricRecord("m", "histogram", "", "Help.", ("r",), BOUNDS, "sum", native=False)
NOW = 1_700_000_000.0


class Process:
    """A segment with one series and a pair of slots for each of two ranges of values."""

    def __init__(self, name, label="/a"):
        self.name, self.label, self.sequence, self.live = name, label, 0, True
        self.values = array("d", [0.5, 1.0, 1.0, 1.0] + [0.0] * 2 * PAIR_CELLS)

    def keep(self, number, value, time, trace_id=1, span_id=2):
        cell = 4 + number * PAIR_CELLS
        with memoryview(self.values) as cells:
            write_exemplar(cells, cell, self.sequence, trace_id, span_id, value, time)
        self.sequence += 1

    def snapshot(self):
        pairs = pack_places({number: 4 + number * PAIR_CELLS for number in range(2)})
        series = SeriesRecord(METRIC, (self.label,), 0, exemplar_places=pairs)
        group = SeriesGroup(METRIC, [series])
        path = Path(f"/{self.name}.seg")
        return SegmentSnapshot(
            path, self.name.encode(), 1.0, self.live, (group,), np.array(self.values)
        )


def exemplars_of(aggregator, *processes, label="/a"):
    """What the page shows of one series."""
    page = aggregator.aggregate([process.snapshot() for process in processes], NOW)
    return page.families[0].histograms[label,].exemplars


def exemplar(value, time, trace_id=1, span_id=2):
    return Exemplar(f"{trace_id:032x}", f"{span_id:016x}", value, time)


def test_the_newest_of_all_processes():
    """Each range has its own, ascending by value; older ones of other processes give way."""
    one, other = Process("a"), Process("b")
    one.keep(0, 0.05, NOW)
    one.keep(1, 5.0, NOW + 1, trace_id=7)
    other.keep(0, 0.06, NOW + 2, trace_id=1 << 127)
    expected = (exemplar(0.06, NOW + 2, 1 << 127), exemplar(5.0, NOW + 1, 7))
    assert expected == exemplars_of(Aggregator(), one, other)


def test_a_newer_one_is_shown_though_nothing_was_counted():
    """An exemplar is written after its observation, so it may be seen a collection later."""
    process, aggregator = Process("a"), Aggregator()
    assert () == exemplars_of(aggregator, process)
    process.keep(0, 0.05, NOW)
    expected = (exemplar(0.05, NOW),)
    assert expected == exemplars_of(aggregator, process)
    process.keep(0, 0.07, NOW + 1)
    expected = (exemplar(0.07, NOW + 1),)
    assert expected == exemplars_of(aggregator, process)


def test_one_exemplar_a_bucket():
    """A line of the page has room for one: the newest."""
    process = Process("a")
    process.keep(0, 0.5, NOW)
    process.keep(1, 0.6, NOW + 1)
    expected = (exemplar(0.6, NOW + 1),)
    assert expected == exemplars_of(Aggregator(), process)


def test_a_torn_one_is_left_out():
    """What was there before stays, and the other slot counts."""
    process, aggregator = Process("a"), Aggregator()
    process.keep(0, 0.05, NOW)
    exemplars_of(aggregator, process)
    process.keep(0, 0.06, NOW + 1)
    process.values[4 + 7 + 3] = 0.07  # the value, behind the checksum's back
    expected = (exemplar(0.05, NOW),)
    assert expected == exemplars_of(aggregator, process)
    assert expected == exemplars_of(Aggregator(), process)


def test_an_exemplar_outlives_its_process():
    """Until there is a newer one."""
    process, aggregator = Process("a"), Aggregator()
    process.keep(0, 0.05, NOW)
    expected = exemplars_of(aggregator, process)
    assert expected
    process.live = False
    assert expected == exemplars_of(aggregator, process)
    assert expected == exemplars_of(aggregator, Process("b"))
