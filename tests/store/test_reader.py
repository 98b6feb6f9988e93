"""A reader sees what only grows, waits for what is being written, and skips what it must."""

import os
import time

import pytest

from perfsdk.store import reader as reader_module
from perfsdk.store.format import FormatError, pack_record
from perfsdk.store.reader import SegmentReader, find_segments
from tests.store.crafted import METRIC, NATIVE_METRIC, segment_of
from tests.store.metrics import COUNTER, TOTAL, read
from tests.store.processes import start

IMPOSSIBLE = {
    "a cell beyond the region": ["series", 0, 4096, []],
    "a cell before it": ["series", 0, -1, []],
    "a huge cell": ["series", 0, 10**4000, []],
    "a label too many": ["series", 0, 64, ["x"]],
    "a metric that is not there": ["series", 7, 64, []],
    "a series that is not there": ["block", 9, 0, 64],
    "a block of what has none": ["block", 65, 0, 72],
    "a block beyond all reals": ["block", 66, 1025, 72],
    "a huge block": ["block", 66, -(10**4000), 72],
    "a block at a wrong cell": ["block", 66, 0, 4090],
    "no name": ["metric", 1, {"kind": "counter", "labels": []}],
    "a name for a page to trip over": ["metric", 1, {**METRIC, "name": 'a{b="c"} 1\n'}],
    "a label name likewise": ["metric", 1, {**METRIC, "labels": ["a\n"]}],
    "a label twice": ["metric", 1, {**METRIC, "labels": ["a", "a"]}],
    "a kind of a newer version": ["metric", 1, {**METRIC, "kind": "summary"}],
    "a bound that is not a number": ["metric", 1, {**METRIC, "bounds": [float("nan")]}],
    "an infinite bound": ["metric", 1, {**METRIC, "bounds": [1e999]}],
    "a bound too large for a real": ["metric", 1, {**METRIC, "bounds": [10**400]}],
    "bounds that fall": ["metric", 1, {**METRIC, "bounds": [2, 1]}],
    "too many bounds": ["metric", 1, {**METRIC, "bounds": list(range(1001))}],
    "help that is no text": ["metric", 1, {**METRIC, "help": 1}],
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_an_impossible_record_is_named(case, file):
    """The kind of the record is in the message, and a second look changes nothing."""
    record = IMPOSSIBLE[case]
    series = [["series", 0, 65, []], ["series", 9, 66, []]]
    file.write_bytes(
        segment_of(["metric", 0, METRIC], ["metric", 9, NATIVE_METRIC], *series, record)
    )
    reader = SegmentReader(file)
    for _ in range(2):
        with pytest.raises(FormatError, match=f"^impossible {record[0]} record$"):
            reader.refresh()
        assert 2 == len(reader.series)
    reader.close()


def test_what_a_newer_version_adds_is_ignored(file, open_reader):
    """Unknown kinds of records and unknown keys do not hide what is known."""
    file.write_bytes(
        segment_of(
            ["metric", 0, {**METRIC, "colour": "red", "merge": "median"}],
            ["picture", 64, 0, 72],
            ["future", {"a": [1, 2]}, None],
            [],
            ["series", 0, 64, [], "more"],
            ["series", 0, 65, []],
        )
    )
    reader = open_reader(file)
    assert [65] == [series.cell for series in reader.series]
    assert 0 == reader.unreadable_records


def test_series_described_twice_are_both_there(file, open_reader):
    """Two threads may have made the same series: whoever aggregates adds them up."""
    file.write_bytes(
        segment_of(["metric", 0, METRIC], ["series", 0, 64, []], ["series", 0, 65, []])
    )
    assert [(64, ()), (65, ())] == [(s.cell, s.labels) for s in open_reader(file).series]


def test_a_wrong_checksum_hides_one_record(file, open_reader):
    """What follows a record that does not hold is read."""
    broken = bytearray(pack_record(["series", 0, 64, []]))
    broken[10] ^= 1
    file.write_bytes(segment_of(["metric", 0, METRIC], bytes(broken), ["series", 0, 65, []]))
    reader = open_reader(file)
    assert [65] == [series.cell for series in reader.series]
    assert 1 == reader.unreadable_records
    reader.refresh()
    assert 1 == reader.unreadable_records


def test_a_record_seen_half_written_is_read_again(file, monkeypatch):
    """A processor may show the length of a record before its content."""
    file.write_bytes(segment_of(["metric", 0, METRIC], ["series", 0, 64, []]))
    reader = SegmentReader(file)
    real, torn = os.pread, []

    def pread(fd, size, offset):
        data = real(fd, size, offset)
        if len(data) > 100 and not torn:
            torn.append(offset)
            return data[:-20] + bytes(20)
        return data

    monkeypatch.setattr(reader_module.os, "pread", pread)
    reader.refresh()
    assert torn
    assert [64] == [series.cell for series in reader.series]
    assert 0 == reader.unreadable_records
    reader.close()


def test_a_record_that_is_being_written_is_waited_for(file):
    """Length 0 means: stop here for now; at the next look it is there, and nothing comes twice."""
    late = pack_record(["series", 0, 65, []])
    records = [["metric", 0, METRIC], ["series", 0, 64, []], bytes(len(late))]
    data = segment_of(*records, ["series", 0, 66, []])
    offset = data.index(pack_record(["series", 0, 66, []])) - len(late)
    file.write_bytes(data)
    reader = read(file)
    for _ in range(2):
        assert [64] == [series.cell for series in reader.series]
        reader.refresh()
    with file.open("r+b") as writing:
        writing.seek(offset)
        writing.write(late)
    for _ in range(2):
        reader.refresh()
        assert [64, 65, 66] == [series.cell for series in reader.series]
    reader.close()


def test_only_segments_are_found(tmp_path):
    """Files being made, archives and locks are not taken for segments; the order is fixed."""
    for name in ("b.seg", "a.seg", ".c.seg", ".d.tmp", "archive.lock", "e.db", "seg"):
        (tmp_path / name).touch()
    assert [tmp_path / "a.seg", tmp_path / "b.seg"] == find_segments(tmp_path)
    assert [] == find_segments(tmp_path / "missing")
    assert [] == find_segments(tmp_path / "a.seg")


BUSY = """
import sys
from pathlib import Path
from perfsdk.store.writer import Writer
from tests.store.metrics import COUNTER, SECONDS, TOTAL

writer = Writer(Path(sys.argv[1]))
total, wait = writer.series(TOTAL, []), writer.series(SECONDS, ["mail"])
print("ready")
values = writer.values
for made in range(20_000):
    for bucket in (1, 2, 3) * 30:
        values[total] += 1.0
        values[wait + bucket] += 1.0
        values[wait] += 0.125
    cell = writer.series(COUNTER, [f"{made}"])
    values[cell] += 1.0
"""


def test_snapshots_of_a_busy_writer_only_grow(segments):
    """Thousands of snapshots while a process writes as fast as it can: nothing ever decreases."""
    process = start(BUSY, segments)
    try:
        assert "ready\n" == process.stdout.readline()
        (path,) = find_segments(segments)
        reader = SegmentReader(path)
        previous = []
        deadline = time.monotonic() + 2.5
        taken = 0
        while taken < 3000 and time.monotonic() < deadline and reader.is_live():
            reader.refresh()
            values = [
                reader.values[series.cell + index]
                for series in reader.series[:50] + reader.series[-50:]
                for index in range(series.metric.cell_count)
            ]
            assert all(0.0 <= value < 1e9 for value in values)
            first = values[: 1 + 4]
            assert all(before <= now for before, now in zip(previous, first, strict=False))
            previous = first
            taken += 1
        assert taken > 100
        assert len(reader.series) > 10
        assert 0 == reader.unreadable_records
        assert ("mail",) == reader.series[1].labels
        reader.close()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_the_reader_keeps_descriptions_and_reads_values(make_writer, open_reader):
    """Series are the same objects at every refresh; new ones are added at the end."""
    writer = make_writer()
    total = writer.series(TOTAL, [])
    reader = open_reader(writer.segment.path)
    (series,) = reader.series
    for amount in range(1, 4):
        writer.values[total] += 1.0
        writer.series(COUNTER, [f"{amount}"])
        reader.refresh()
        assert series is reader.series[0]
        assert amount + 1 == len(reader.series)
        assert float(amount) == reader.values[total]
