"""A writer hands out cells, keeps values when its file is lost, and never stops the application."""

import errno
import fcntl
import math
import os
import shutil
import threading

import pytest

from perfsdk.catalog import METRICS, Metric
from perfsdk.store.format import SCRATCH_CELLS
from perfsdk.store.reader import find_segments
from perfsdk.store.writer import CLOSED, SCRATCH, Writer, cell_count
from tests.store.metrics import (
    ACTIVE,
    COUNTER,
    EVERY_KIND,
    HIGHEST,
    LOWEST,
    NATIVE,
    NEWEST,
    SECONDS,
    TOTAL,
    WORKER,
    only_segment,
    snapshot,
)


def test_there_is_no_file_before_the_first_series(writer, segments):
    """A process that records nothing leaves nothing, not even a directory."""
    writer.facts({"service": "shop"})
    writer.maintain()
    assert writer.segment is None
    assert not segments.exists()
    writer.series(TOTAL, [])
    assert 1 == len(find_segments(segments))


def test_a_store_before_the_first_series_is_not_lost(writer, segments):
    """Without a segment a store raises IndexError, and `revive` makes it worth repeating."""
    with pytest.raises(IndexError):
        writer.values[0] += 1.0
    assert writer.revive()
    writer.values[SCRATCH] += 1.0
    assert 1 == len(find_segments(segments))


def test_series_of_every_kind_are_described(writer, segments, open_reader):
    """A reader gets every metric of every kind with its cells, labels and description."""
    cells = {metric.name: writer.series(metric, []) for metric in EVERY_KIND}
    cells[SECONDS.name] = writer.series(SECONDS, ["mail"])
    reader = open_reader(only_segment(segments))
    assert cells == {series.metric.name: series.cell for series in reader.series}
    for metric, series in zip((*EVERY_KIND, SECONDS), reader.series, strict=True):
        described = series.metric
        for attribute in (
            "name",
            "kind",
            "unit",
            "help",
            "labels",
            "bounds",
            "merge",
            "native",
            "page",
        ):
            assert getattr(metric, attribute) == getattr(described, attribute)
        assert cell_count(metric) == described.cell_count
    assert ("mail",) == reader.series[-1].labels


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_of_the_catalog_can_be_written(metric, make_writer, open_reader):
    """The whole catalog fits into the format, and into the scratch cells when there is no room."""
    writer = make_writer()
    labels = [f'{label} é\n"\\' for label in metric.labels]
    assert SCRATCH != writer.series(metric, labels)
    assert cell_count(metric) <= SCRATCH_CELLS
    (series,) = open_reader(writer.segment.path).series
    assert (metric.name, tuple(labels)) == (series.metric.name, series.labels)


def test_gauges_of_which_0_would_be_a_value_are_unset_at_first(writer):
    """A minimum, a maximum, a newest value or a worker's own that nobody set is not 0."""
    assert writer.revive()
    for metric in (LOWEST, HIGHEST, NEWEST, WORKER):
        assert math.isnan(writer.values[writer.series(metric, [])])
    for metric in (ACTIVE, TOTAL):
        assert 0.0 == writer.values[writer.series(metric, [])]


def test_native_blocks_are_told_to_the_reader(writer, segments, open_reader):
    """A block belongs to its series; it is made once first hit."""
    cell = writer.series(NATIVE, [])
    blocks = {number: writer.block(cell, number) for number in (-24, 0, 16)}
    (series,) = open_reader(only_segment(segments)).series
    assert blocks == series.blocks


def test_metrics_of_one_name_and_different_shape_do_not_mix(writer, segments, open_reader):
    """Added bounds make another description, so that no bucket is taken for its neighbour."""
    wider = Metric(
        name="wait_seconds", kind="histogram", help="", labels=("queue",), bounds=(0.1, 0.5, 1.0)
    )
    writer.series(SECONDS, ["a"])
    writer.series(wider, ["b"])
    writer.series(SECONDS, ["c"])
    bounds = [s.metric.bounds for s in open_reader(only_segment(segments)).series]
    assert [(0.1, 1.0), (0.1, 0.5, 1.0), (0.1, 1.0)] == bounds


WRONG = {
    "too few labels": (COUNTER, []),
    "too many labels": (COUNTER, ["a", "b"]),
    "a label that is no text": (COUNTER, [200]),
    "a name with a dot": (Metric(name="a.b", kind="counter", help=""), []),
    "no name": (Metric(name="", kind="counter", help=""), []),
    "an empty label name": (Metric(name="a", kind="gauge", help="", labels=("",)), ["x"]),
    "a label twice": (Metric(name="a", kind="gauge", help="", labels=("b", "b")), ["x", "y"]),
    "bounds that fall": (Metric(name="a", kind="histogram", help="", bounds=(2.0, 1.0)), []),
    "an infinite bound": (Metric(name="a", kind="histogram", help="", bounds=(math.inf,)), []),
    "an unknown kind": (Metric(name="a", kind="summary", help=""), []),
    "more buckets than scratch cells": (
        Metric(name="a", kind="histogram", help="", bounds=tuple(map(float, range(70)))),
        [],
    ),
    "a label of a megabyte": (COUNTER, ["x" * (1 << 20)]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_a_reader_would_refuse_is_not_written(wrong, writer, segments, open_reader):
    """One wrong series raises where it is made instead of spoiling the whole segment."""
    metric, labels = WRONG[wrong]
    good = writer.series(TOTAL, [])
    with pytest.raises(ValueError):
        writer.series(metric, labels)
    writer.series(COUNTER, ["a"])
    reader = open_reader(only_segment(segments))
    assert [good, good + 1] == [series.cell for series in reader.series]


def test_the_facts_are_in_every_segment(writer, segments, open_reader):
    """Service and versions are there whatever the first series is, and after a loss too."""
    facts = {"service": "shöp", "sdk_version": "0.1.0"}
    writer.facts(facts)
    writer.series(TOTAL, [])
    assert facts == open_reader(only_segment(segments)).facts
    only_segment(segments).unlink()
    writer.maintain()
    assert facts == open_reader(only_segment(segments)).facts


def test_a_closed_writer_records_nothing_more(writer, segments, open_reader):
    """After `close` the file stays with its totals, dead, and no call makes another one."""
    cell = writer.series(TOTAL, [])
    writer.values[cell] = 4.0
    reader = open_reader(only_segment(segments))
    assert reader.is_live()
    writer.close()
    writer.close()
    assert not reader.is_live()
    assert [SCRATCH, SCRATCH] == [writer.series(TOTAL, []), writer.block(cell, 0)]
    assert not writer.revive()
    assert writer.values is CLOSED
    writer.maintain()
    assert {("calls_total",): 4.0} == snapshot(segments)


def test_without_a_directory_there_is_memory_only():
    """A writer for tests needs no file system."""
    writer = Writer(None)
    cell = writer.series(TOTAL, [])
    writer.values[cell] += 1.0
    writer.maintain()
    assert writer.segment.path is None
    assert 1.0 == writer.values[cell]
    writer.close()


@pytest.mark.parametrize(
    "number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EWOULDBLOCK]
)
def test_without_locks_the_process_says_so_once(number, make_writer, segments, monkeypatch):
    """Where nobody could tell a living process from a dead one, there is memory and one line."""
    reasons = []
    writer = make_writer(on_degraded=reasons.append)
    with monkeypatch.context() as patch:

        def flock(*_):
            raise OSError(number, os.strerror(number))

        patch.setattr(fcntl, "flock", flock)
        cell = writer.series(TOTAL, [])
        writer.values[cell] += 2.0
        for _ in range(3):
            writer.maintain()
        assert not list(segments.iterdir())
    assert [f"{segments} cannot lock files ({os.strerror(number)}); use /dev/shm"] == reasons
    writer.maintain()
    assert {("calls_total",): 2.0} == snapshot(segments)


def test_a_lost_file_is_made_anew_with_its_values(writer, segments, open_reader):
    """After the directory was wiped all series are back at their cells with their values."""
    cells = [writer.series(COUNTER, [f"{i}"]) for i in range(3000)]
    native = writer.series(NATIVE, [])
    block = writer.block(native, 3)
    for cell in (*cells, native, block):
        writer.values[cell] += 1.0
    first = only_segment(segments)
    descriptors = len(os.listdir("/proc/self/fd"))
    shutil.rmtree(segments)
    writer.maintain()
    assert first != only_segment(segments)
    writer.values[cells[0]] += 1.0
    late = writer.series(COUNTER, ["late"])
    reader = open_reader(only_segment(segments))
    assert reader.is_live()
    assert [2.0] + [1.0] * 3000 + [0.0] == [reader.values[s.cell] for s in reader.series]
    assert late == reader.series[-1].cell
    assert {3: block} == reader.series[-2].blocks
    assert descriptors == len(os.listdir("/proc/self/fd")) - 1  # the reader's
    same = only_segment(segments)
    writer.maintain()
    assert same == only_segment(segments)


def test_callbacks_run_without_the_lock(make_writer, segments):
    """What they call may log, and a log handler of another thread may record: no deadlock."""
    finished = []

    def record_elsewhere(*_):
        thread = threading.Thread(target=writer.series, args=(COUNTER, ["other"]), daemon=True)
        thread.start()
        thread.join(timeout=10)
        finished.append(not thread.is_alive())

    writer = make_writer(on_open=record_elsewhere, on_degraded=record_elsewhere)
    segments.write_text("a file where the directory should be")
    assert SCRATCH != writer.series(TOTAL, [])
    assert [True, True] == finished
    segments.unlink()
    writer.maintain()
    assert {("calls_total",): 0.0, ("keys_total", "other"): 0.0} == snapshot(segments)


def test_opening_is_told_before_the_first_series_returns(make_writer):
    """`on_open` can make series of its own; they are there when the caller goes on."""
    seen = []

    def opened():
        seen.append(writer.series(ACTIVE, [], for_self=True))

    writer = make_writer(on_open=opened)
    assert writer.series(TOTAL, []) not in seen
    assert 1 == len(seen)
    writer.series(COUNTER, ["a"])
    assert 1 == len(seen)
