"""A reader sees what only grows, and takes any file for what it is without being hurt by it."""

import os
import struct
import time
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perfsdk.store import reader as reader_module
from perfsdk.store.format import (
    CELLS_END_OFFSET,
    PAGE,
    RECORDS_END_OFFSET,
    FormatError,
    Header,
    pack_header,
    pack_record,
    unpack_header,
)
from perfsdk.store.reader import MAX_FILE_SIZE_BYTES, SegmentReader, find_segments
from tests.store.metrics import COUNTER, NATIVE, SECONDS, TOTAL, read
from tests.store.processes import start

SMALL = 64 << 10
METRIC = {"name": "a_total", "kind": "counter", "labels": [], "bounds": []}


@pytest.fixture
def sample(make_writer):
    """The bytes of a small segment with series of several kinds, and the labels in it."""
    writer = make_writer(size_bytes=SMALL)
    writer.facts({"service": "shop"})
    for index in range(4):
        cell = writer.series(COUNTER, [f"{index}"])
        writer.values[cell] += 1.0
    native = writer.series(NATIVE, [])
    writer.values[writer.block(native, 2)] += 1.0
    writer.values[writer.series(SECONDS, ["mail"]) + 1] += 1.0
    return writer.segment.path.read_bytes()


@pytest.fixture
def file(tmp_path):
    """A path for a file that may be anything."""
    return tmp_path / "file.seg"


def segment_of(*records, values_size=1 << 15, cells_end=1000, records_size=1 << 15):
    """A well-formed file with the given records, each as its fields or as bytes."""
    data = b"".join(r if isinstance(r, bytes) else pack_record(r) for r in records)
    header = pack_header(Header(bytes(16), 1, 0.0, values_size, records_size))
    ends = struct.pack("<QQ", cells_end, len(data))
    head = (header + ends).ljust(PAGE, b"\0")
    return head + bytes(values_size) + data.ljust(records_size, b"\0")


def outcome(path):
    """What reading gives: the series, or the reason why there are none. Nothing else may happen."""
    try:
        reader = SegmentReader(path)
    except FormatError as error:
        return str(error)
    try:
        reader.refresh()
        for series in reader.series:
            assert series.cell + series.metric.cell_count <= len(reader.values)
            assert all(cell + 8 <= len(reader.values) for cell in series.blocks.values())
        return [(series.metric, *series.labels) for series in reader.series]
    except FormatError as error:
        return str(error)
    finally:
        reader.close()


def test_a_file_cut_anywhere_is_refused(sample, file):
    """A truncated file is a FormatError, whatever is left of it."""
    file.write_bytes(sample)
    assert 6 == len(outcome(file))
    for size in (*range(200), *range(200, len(sample), 331), len(sample) - 1):
        os.truncate(file, size) if size == 0 else file.write_bytes(sample[:size])
        assert outcome(file) in {"truncated header", "truncated"}


def test_a_file_that_shrinks_while_it_is_open_is_refused(sample, file):
    """What is cut off after opening gives an error, not a signal."""
    file.write_bytes(sample)
    for size in (0, 50, 80, 90, PAGE, PAGE + 100, len(sample) // 2):
        file.write_bytes(sample)
        reader = SegmentReader(file)
        os.truncate(file, size)
        with pytest.raises(FormatError, match=r"^truncated$"):
            reader.refresh()
        reader.close()


def test_a_flipped_bit_hides_series_but_invents_none(sample, file):
    """Any single wrong bit of header or records: a reason, or a part of what was there."""
    file.write_bytes(sample)
    known = set(outcome(file))
    start_of_records = unpack_header(sample).records_offset
    end_of_records = start_of_records + int.from_bytes(sample[80:88], "little")
    refused = 0
    for offset in (*range(88), *range(start_of_records, end_of_records, 3)):
        for bit in range(8):
            with file.open("r+b") as changed:
                changed.seek(offset)
                changed.write(bytes([sample[offset] ^ 1 << bit]))
            found = outcome(file)
            refused += isinstance(found, str)
            assert isinstance(found, str) or known >= set(found)
        with file.open("r+b") as changed:
            changed.seek(offset)
            changed.write(sample[offset : offset + 1])
    assert refused > 70 * 8  # the checksum covers the fixed header
    assert known == set(outcome(file))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(file, data):
    """Bytes of any kind are no segment."""
    file.write_bytes(data)
    assert isinstance(outcome(file), str)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 5000), st.binary(max_size=2000))
def test_random_content_is_refused_or_empty(file, cells_end, records_end, data):
    """Behind a right header, any ends and any bytes for records are survived."""
    head = bytearray(segment_of(values_size=4096, records_size=4096))
    head[CELLS_END_OFFSET:RECORDS_END_OFFSET] = struct.pack("<Q", cells_end)
    head[RECORDS_END_OFFSET : RECORDS_END_OFFSET + 8] = struct.pack("<Q", records_end)
    head[PAGE + 4096 : PAGE + 4096 + len(data)] = data
    file.write_bytes(head)
    assert outcome(file) == [] or isinstance(outcome(file), str)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "a_total", "counter", "histogram", "sum", "x y", "name", "\x00"])
)
anything = st.recursive(
    scalars,
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(st.sampled_from(list("abc")), children, max_size=3)
    ),
    max_leaves=6,
)
descriptions = st.dictionaries(
    st.sampled_from(["name", "kind", "unit", "help", "labels", "bounds", "merge", "native"]),
    anything,
)
records = st.one_of(
    st.lists(anything, max_size=4),
    st.tuples(st.just("metric"), anything, descriptions).map(list),
    st.tuples(st.just("series"), st.integers(-1, 2), st.integers(-5, 5000), anything).map(list),
    st.tuples(st.just("block"), st.integers(60, 70), anything, st.integers(-5, 5000)).map(list),
    st.tuples(st.just("meta"), descriptions).map(list),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(records, max_size=5))
def test_hostile_records_are_refused_or_harmless(file, hostile):
    """Records with right checksums and any content: a reason, or series within their cells."""
    native = {"name": "b", "kind": "histogram", "labels": [], "bounds": [1.0], "native": True}
    file.write_bytes(segment_of(["metric", 0, METRIC], ["metric", 1, native], *hostile))
    outcome(file)


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
    native = {"name": "b", "kind": "histogram", "labels": [], "bounds": [1.0], "native": True}
    record = IMPOSSIBLE[case]
    series = [["series", 0, 65, []], ["series", 9, 66, []]]
    file.write_bytes(segment_of(["metric", 0, METRIC], ["metric", 9, native], *series, record))
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
            ["exemplar", 64, 0, 72],
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


def test_absurd_ends_cost_neither_memory_nor_time(file):
    """The largest file, sparse, with ends as far as they can be: what is read is what is there."""
    size = (MAX_FILE_SIZE_BYTES - PAGE) // 2 // 8 * 8
    file.write_bytes(
        segment_of(["metric", 0, METRIC], ["series", 0, 64, []], values_size=0, records_size=0)
    )
    head = pack_header(Header(bytes(16), 1, 0.0, size, size))
    head += struct.pack("<QQ", size // 8, size)
    records = pack_record(["metric", 0, METRIC]) + pack_record(["series", 0, 64, []])
    with file.open("wb") as sparse:
        sparse.write(head)
        sparse.seek(PAGE + size)
        sparse.write(records)
        sparse.truncate(PAGE + 2 * size)
    tracemalloc.start()
    try:
        assert 1 == len(outcome(file))
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("values_size", "records_size"),
    [(2**63, 8), (8, 2**63), (2**64 - 8, 2**64 - 8), (1 << 40, 0), (4096, 1 << 30)],
)
def test_absurd_sizes_are_refused(file, values_size, records_size):
    """Sizes beyond the file's are refused before anything is read."""
    head = pack_header(Header(bytes(16), 1, 0.0, values_size, records_size))
    file.write_bytes(head.ljust(2 * PAGE, b"\0"))
    assert "truncated" == outcome(file)


def test_ends_beyond_their_regions_are_refused(file):
    """A writer never gets there."""
    data = bytearray(segment_of())
    data[RECORDS_END_OFFSET : RECORDS_END_OFFSET + 8] = struct.pack("<Q", 2**64 - 1)
    file.write_bytes(data)
    assert "more records than there is room for" == outcome(file)
    file.write_bytes(segment_of(cells_end=2**63))
    assert "more cells than there is room for" == outcome(file)
    too_long = struct.pack("<II", 2**32 - 1, 0) + bytes(8)
    file.write_bytes(segment_of(too_long))
    assert "a record reaches beyond the end" == outcome(file)
    deep = b"[" * 20_000
    deep = struct.pack("<II", len(deep), zlib.crc32(deep)) + deep
    file.write_bytes(segment_of(deep, ["metric", 0, METRIC], ["series", 0, 64, []]))
    assert 1 == len(outcome(file))


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    """A FIFO, a directory and a link named like segments neither block nor are followed."""
    os.mkfifo(tmp_path / "fifo.seg")
    (tmp_path / "directory.seg").mkdir()
    (tmp_path / "empty.seg").touch()
    (tmp_path / "link.seg").symlink_to(tmp_path / "empty.seg")
    assert 4 == len(find_segments(tmp_path))
    for name in ("fifo", "directory"):
        with pytest.raises(FormatError, match="not a regular file"):
            SegmentReader(tmp_path / f"{name}.seg")
    with pytest.raises(FormatError, match="truncated header"):
        SegmentReader(tmp_path / "empty.seg")
    with pytest.raises(OSError, match="symbolic links"):
        SegmentReader(tmp_path / "link.seg")
    with pytest.raises(FileNotFoundError):
        SegmentReader(tmp_path / "missing.seg")


def test_a_file_larger_than_any_segment_is_refused(file):
    """Nothing of it is read."""
    with file.open("wb") as large:
        large.truncate(MAX_FILE_SIZE_BYTES + 1)
    assert f"{MAX_FILE_SIZE_BYTES + 1} bytes are more than a segment can have" == outcome(file)


def test_only_segments_are_found(tmp_path):
    """Files being made, archives and locks are not taken for segments; the order is fixed."""
    for name in ("b.seg", "a.seg", ".c.seg", ".d.tmp", "archive.lock", "e.db", "seg"):
        (tmp_path / name).touch()
    assert [tmp_path / "a.seg", tmp_path / "b.seg"] == find_segments(tmp_path)
    assert [] == find_segments(tmp_path / "missing")
    assert [] == find_segments(tmp_path / "a.seg")


def test_refused_files_leave_no_descriptor(file, sample):
    """A bad file that is tried at every scrape does not use up descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    for data in (b"", sample[:100], sample[:-1], b"x" * 1000):
        file.write_bytes(data)
        with pytest.raises(FormatError):
            SegmentReader(file)
    file.write_bytes(sample)
    reader = SegmentReader(file)
    reader.close()
    reader.close()
    assert before == len(os.listdir("/proc/self/fd"))


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
