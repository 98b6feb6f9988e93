"""The layout that is documented is the layout that is written."""

import json
import os
import struct
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfsdk.store import format as layout
from perfsdk.store.format import (
    MAX_RECORD_BYTES,
    FormatError,
    Header,
    complete_records,
    pack_header,
    pack_record,
    record_payload,
    record_size,
    unpack_header,
    unpack_payloads,
)
from tests.store.metrics import COUNTER, NATIVE, TOTAL, only_segment

u64 = st.integers(0, 2**64 - 1)


def word(data, offset, size=8):
    """An unsigned little-endian integer of the file."""
    return int.from_bytes(data[offset : offset + size], "little")


def test_the_header_is_written_at_the_documented_offsets(writer, segments):
    """Each fixed field is where the docstring says, checksum, sizes and ends included."""
    before = time.time()
    writer.series(TOTAL, [])
    path = only_segment(segments)
    data = path.read_bytes()
    assert b"PERFSEG\n" == data[:8]
    assert 1 == word(data, 8, 4)
    assert zlib.crc32(data[16:72]) == word(data, 12, 4)
    assert path.name == data[16:32].hex() + ".seg"
    assert os.getpid() == word(data, 32)
    assert before <= struct.unpack_from("<d", data, 40)[0] <= time.time()
    values_size, records_size, page = word(data, 48), word(data, 56), word(data, 64, 4)
    assert 4096 == page
    assert 0 == word(data, 68, 4)
    assert len(data) == page + values_size + records_size == 16 << 20
    assert 64 + 1 == word(data, 72)
    assert 0 < word(data, 80) < records_size
    assert bytes(page - 88) == data[88:page]


def test_the_docstring_has_these_numbers():
    """Whoever reads only the docstring computes the checksum over the right bytes."""
    assert "CRC-32 of the 56 bytes at offset 16" in layout.__doc__
    assert 56 == len(pack_header(Header(bytes(16), 1, 0.0, 8, 8))) - 16


def test_cells_and_records_are_where_the_docstring_says(writer, segments):
    """A stranger with the docstring alone finds names, labels, cells, sums and buckets."""
    writer.facts({"service": "shop"})
    cell = writer.series(NATIVE, [])
    writer.values[cell] = 2.5
    writer.values[cell + 1] = 1.0
    writer.values[cell + 4] = 3.0
    block = writer.block(cell, -2)
    writer.values[block + 7] = 4.0
    data = only_segment(segments).read_bytes()
    offset = 4096 + word(data, 48)
    end = offset + word(data, 80)
    records = []
    while offset < end:
        assert 0 == offset % 8
        length, checksum = word(data, offset, 4), word(data, offset + 4, 4)
        payload = data[offset + 8 : offset + 8 + length]
        assert zlib.crc32(payload) == checksum
        records.append(json.loads(payload))
        offset += 8 + length + -length % 8
    assert offset == end
    meta, metric, series, blocks = records
    assert ["meta", {"service": "shop"}] == meta
    assert ["metric", 0] == metric[:2]
    assert {
        "name": "request_seconds",
        "kind": "histogram",
        "unit": "seconds",
        "help": "Time.",
        "labels": [],
        "bounds": [0.1, 1.0],
        "merge": "sum",
        "native": True,
        "page": "metrics",
    } == metric[2]
    assert ["series", 0, cell, []] == series
    assert ["block", cell, -2, block] == blocks
    assert (2.5, 1.0, 0.0, 0.0, 3.0) == struct.unpack_from("<5d", data, 4096 + cell * 8)
    assert 4.0 == struct.unpack_from("<d", data, 4096 + (block + 7) * 8)[0]


def test_a_block_of_native_buckets_is_one_cache_line(writer):
    """Blocks take 64 bytes and begin at multiples of 64."""
    series = writer.series(NATIVE, [])
    first, second = writer.block(series, 0), writer.block(series, 1)
    assert [0, 0] == [first % 8, second % 8]
    assert 8 == second - first


def test_identities_are_random(make_writer, segments):
    """Writers of one process, hence with one PID, get files of their own."""
    for _ in range(20):
        make_writer().series(COUNTER, ["a"])
    names = {path.stem for path in segments.glob("*.seg")}
    assert 20 == len(names)
    assert {32} == {len(name) for name in names}


@given(
    st.binary(min_size=16, max_size=16),
    u64,
    st.floats(allow_nan=False),
    st.integers(0, 2**60),
    st.integers(0, 2**60),
    st.integers(11, 2**28),
)
def test_headers_are_read_as_written(identity, pid, started, values, records, page):
    """Any header with possible sizes survives the way through its bytes."""
    header = Header(identity, pid, started, values * 8, records * 8, page * 8)
    assert header == unpack_header(pack_header(header))
    assert header.file_size == header.records_offset + records * 8


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reading_of_a_header(data):
    """Bytes that are no header give a FormatError, nothing else."""
    with pytest.raises(FormatError):
        unpack_header(data)


@given(st.binary(min_size=56, max_size=56))
def test_no_content_crashes_the_reading_of_a_header(static):
    """A header with a right checksum around any content is read or refused."""
    data = b"PERFSEG\n" + struct.pack("<II", 1, zlib.crc32(static)) + static
    try:
        header = unpack_header(data)
    except FormatError:
        return
    assert 0 == header.page % 8 == header.values_size % 8 == header.records_size % 8
    assert header.page >= 88


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_another_version_is_named(version):
    """A file of a future version is refused with a message that says which."""
    data = bytearray(pack_header(Header(bytes(16), 1, 0.0, 8, 8)))
    data[8:12] = struct.pack("<I", version)
    with pytest.raises(FormatError, match=f"^format version {version}, this reader knows 1$"):
        unpack_header(bytes(data))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


def unpacked(data, offset=0):
    """The record at `offset`, or None when there is none."""
    payload = record_payload(data, offset)
    return None if payload is None else unpack_payloads([payload])[0]


@given(st.lists(json_values))
def test_records_are_read_as_written(fields):
    """Any JSON array of encodable text survives, and its record is a multiple of 8 long."""
    record = pack_record(fields)
    assert 0 == len(record) % 8
    assert len(record) == record_size(record, 0)
    assert fields == unpacked(record)


@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_lone_surrogates_become_question_marks(text):
    """Text that UTF-8 cannot hold is written all the same."""
    assert ["?" * len(text)] == unpacked(pack_record([text]))


def test_a_record_that_no_reader_would_take_is_not_made():
    """The bound on a record's length holds for the writer too."""
    pack_record(["x" * (MAX_RECORD_BYTES - 20)])
    with pytest.raises(ValueError, match="too long"):
        pack_record(["x" * MAX_RECORD_BYTES])


@given(st.binary(min_size=8, max_size=100), st.integers(0, 40))
def test_no_bytes_crash_the_reading_of_a_record(data, offset):
    """Bytes that are no record give None, or a list when they happen to be one."""
    offset = min(offset, len(data) - 8)
    assert record_size(data, offset) >= 0
    assert unpacked(data, offset) is None or isinstance(unpacked(data, offset), list)


@pytest.mark.parametrize(
    "payload",
    [b"{}", b"1", b"[", b"\xff\xfe", b"[" * 100_000, b"[" + b"9" * 5000 + b"]", b'["\xff"]'],
    ids=["object", "number", "open", "utf-16", "deep", "big number", "not utf-8"],
)
def test_what_is_no_json_array_is_no_record(payload):
    """A right checksum does not make JSON of something else."""
    record = struct.pack("<II", len(payload), zlib.crc32(payload)) + payload
    fields = unpacked(record)
    assert fields is None or [int] == [type(field) for field in fields]


@given(st.lists(st.one_of(st.lists(json_values).map(lambda f: pack_record(f)[8:]), st.binary())))
def test_records_read_together_are_those_read_one_by_one(payloads):
    """What is no record among others takes none of them along."""
    payloads = [payload.rstrip(b"\0") for payload in payloads]
    apart = [unpack_payloads([payload])[0] for payload in payloads]
    together = unpack_payloads(payloads)
    assert len(payloads) == len(together)
    if None in apart or not payloads:
        return
    assert apart == together


def test_complete_records_end_at_the_first_hole():
    """What was not written yet, and what follows it, is cut off."""
    first, second = pack_record(["a"]), pack_record(["b"])
    assert first + second == complete_records(first + second)
    assert first == complete_records(first + bytes(len(second)) + second)
    assert b"" == complete_records(b"")
