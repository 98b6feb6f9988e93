"""The segment file, byte by byte: what a writer may store and what a reader may see.

One process writes one segment; any number of readers read it at any time without a lock.
All integers are unsigned and little-endian, all reals IEEE 754 binary64. 64-bit platforms only.

    offset  size  field
    0       8     magic `PERFSEG\\n`
    8       4     format version; a reader skips a file with another one
    12      4     CRC-32 of the 56 bytes at offset 16
    16      16    identity: random, never reused; the hexadecimal form names the file
    32      8     process id of the writer, for people: it may repeat between containers
    40      8     real: seconds since the epoch when the segment was made
    48      8     values_size: bytes of the value region
    56      8     records_size: bytes of the record region
    64      4     page: bytes before the value region, 4096
    68      4     unused, 0
    72      8     cells_end: cells of the value region in use          (grows)
    80      8     records_end: bytes of the record region in use       (grows)
    88            zeros up to offset `page`
    page          value region: `values_size` bytes, an array of 8-byte cells
    page + values_size    record region: `records_size` bytes

The file is sparse: its size is the sum of all that, its blocks are reserved in steps before
they are used. Fields at offsets 0 to 71 never change. `cells_end` and `records_end` only grow,
each by one aligned 8-byte store after what it covers was written or is about to be: a record
is there when its first word, the last to be written, is not zero.

**Cells.** A cell is a real that only the writer changes, by an aligned 8-byte store, which a
reader sees whole. The first `SCRATCH_CELLS` cells belong to no series: values for which there
was no room go there. What a series owns starts at its `cell`:

    counter     [value]
    gauge       [value]; merge `newest`: [value, seconds since the epoch of the last change];
                merge `oldest`: [start on the monotonic clock in seconds, 0 when there is none].
                NaN: not set, the reader leaves it out
    histogram   [sum, bucket 0, ..., bucket n]: bucket i counts the observations that are
                <= bounds[i] and > bounds[i - 1]; bucket n those above all bounds. The number
                of observations is the sum of the buckets, so the two never disagree; the sum
                of the values may differ by what is in flight
    native      [sum, zero bucket, bucket 0, ..., bucket n], and blocks

**Native buckets** (schema 3) hold an observation x > 0 at index `ceil(log2(x) * 8)`; x <= 0
goes to the zero bucket; NaN and infinities are dropped. They come in blocks of 8 cells, block b
holding the indices 8b to 8b + 7, made when first hit.

**Exemplars**: a histogram may own pairs of slots, one pair a range of values, made when first
needed; which ranges there are is the writer's business. A slot is seven words: trace id (2, the
upper half first), span id, value, seconds since the epoch, sequence number, CRC-32 of the six
words before. The writer alternates between the slots: a sequence number that is odd goes into
the second. A reader takes the slot with the higher sequence number of those whose checksum
holds, so one that is being written, or that was never written, is left out.

**Records** describe the cells. They are appended, never changed, and start at multiples of 8:

    0       4     length of the payload in bytes; 0: not written yet, stop here for now
    4       4     CRC-32 of the payload
    8             payload: a JSON array in UTF-8, padded with zeros to a multiple of 8

    ["meta", {...}]                           facts about the process: service, versions
    ["metric", id, {"name", "kind", "unit", "help", "labels", "bounds", "merge", "native", "page"}]
    ["series", metric id, cell, [label values in the order of the metric's labels]]
    ["block", cell of the series, block number, cell of the block]
    ["exemplar", cell of the series, number of the range, cell of the pair]
    ["folded", [identity, ...]]               in an exporter's archive alone, see its archive.py

A reader ignores kinds of records and keys that it does not know, skips a record whose checksum
does not hold when read a second time either, and adds up series that are described twice. It reads
`records_end`, the records, then the cells, in this order: a series that it knows has its cells.

**Liveness.** While its writer lives, an exclusive `flock` is held on the file through a file
description of its own, never the mapped one (a mapping keeps a lock alive in forked children).
A file is made under a hidden temporary name and locked before it gets its own name.
"""

import json
import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

MAGIC = b"PERFSEG\n"
VERSION = 1
PAGE = 4096
CELL = 8
SUFFIX = ".seg"

CELLS_END_OFFSET = 72
RECORDS_END_OFFSET = 80

SCRATCH_CELLS = 64
"""Room for the largest series: values that found no cells of their own go here."""

MAX_RECORD_BYTES = 1 << 20
"""No record is longer, so that a reader never needs more memory at once than this."""

NATIVE_BUCKETS_PER_BLOCK = 8

_STATIC = struct.Struct("<16sQdQQII")
_PREFIX = struct.Struct("<8sII")
_RECORD = struct.Struct("<II")
RECORD_HEADER = _RECORD.size


class FormatError(Exception):
    """The bytes are not a segment that this version can read."""


class Header(NamedTuple):
    """The part of a segment that never changes; sizes in bytes, `started` in epoch seconds."""

    identity: bytes
    pid: int
    started: float
    values_size: int
    records_size: int
    page: int = PAGE

    @property
    def file_size(self) -> int:
        return self.page + self.values_size + self.records_size

    @property
    def records_offset(self) -> int:
        return self.page + self.values_size


def pack_header(header: Header) -> bytes:
    """The bytes at offset 0 of a new segment."""
    static = _STATIC.pack(
        header.identity,
        header.pid,
        header.started,
        header.values_size,
        header.records_size,
        header.page,
        0,
    )
    return _PREFIX.pack(MAGIC, VERSION, zlib.crc32(static)) + static


def unpack_header(data: bytes) -> Header:
    """Read the fixed header.

    Raises:
        FormatError: too short, another format, another version or a wrong checksum.
    """
    if len(data) < _PREFIX.size + _STATIC.size:
        raise FormatError("truncated header")
    magic, version, checksum = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise FormatError("not a segment")
    if version != VERSION:
        raise FormatError(f"format version {version}, this reader knows {VERSION}")
    static = data[_PREFIX.size : _PREFIX.size + _STATIC.size]
    if zlib.crc32(static) != checksum:
        raise FormatError("header checksum does not hold")
    identity, pid, started, values_size, records_size, page, _ = _STATIC.unpack(static)
    header = Header(identity, pid, started, values_size, records_size, page)
    if page < RECORDS_END_OFFSET + 8 or page % CELL or values_size % CELL or records_size % CELL:
        raise FormatError("impossible sizes")
    return header


# Of our own: applications replace `json.dumps`, and tests of theirs count its calls.
_to_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def pack_record(fields: Sequence[Any]) -> bytes:
    """One record, padded: its length is a multiple of 8.

    Raises:
        ValueError: it would be longer than any reader takes.
    """
    payload = _to_json(fields).encode("utf-8", "replace")
    padding = -len(payload) % CELL
    if RECORD_HEADER + len(payload) + padding > MAX_RECORD_BYTES:
        raise ValueError(f"a record of {len(payload)} bytes is too long")
    return _RECORD.pack(len(payload), zlib.crc32(payload)) + payload + b"\0" * padding


def complete_records(data: bytes) -> bytes:
    """The records before the first that is not written yet: all, unless writing was cut short."""
    offset = 0
    while offset + RECORD_HEADER <= len(data) and (size := record_size(data, offset)):
        offset += size
    return data[:offset]


def record_size(data: bytes, offset: int) -> int:
    """Bytes of the record at `offset`, padding included; 0 when it is not written yet."""
    length: int = _RECORD.unpack_from(data, offset)[0]
    return RECORD_HEADER + length + (-length % CELL) if length else 0


def record_payload(data: bytes, offset: int) -> bytes | None:
    """The payload of the record at `offset`, or None when its checksum does not hold."""
    length, checksum = _RECORD.unpack_from(data, offset)
    payload = data[offset + RECORD_HEADER : offset + RECORD_HEADER + length]
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def unpack_payloads(payloads: Sequence[bytes]) -> list[list[Any] | None]:
    """The records, or None for each that is no JSON array."""
    try:
        # As one document: a decoder's start costs more than what a record holds.
        found = json.loads(b"[%b]" % b",".join(payloads))
    except (ValueError, RecursionError):
        found = []
    if len(found) != len(payloads):
        found = [_unpack_payload(payload) for payload in payloads]
    return [fields if isinstance(fields, list) else None for fields in found]


def _unpack_payload(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None
