"""No file, however it came about, does more to a reader than to be refused."""

import os
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from tests.store.crafted import METRIC, NATIVE_METRIC, outcome, segment_of
from tests.store.metrics import COUNTER, NATIVE, SECONDS

SMALL = 64 << 10


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
    file.write_bytes(segment_of(["metric", 0, METRIC], ["metric", 1, NATIVE_METRIC], *hostile))
    outcome(file)


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
