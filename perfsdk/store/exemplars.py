"""One observation and its trace, written so that no reader ever sees a mixture of two.

`format` says what a slot and a pair of slots are. Both functions work on the cells of a segment:
the writer's mapping or a reader's copy.
"""

import math
import struct
import zlib
from array import array
from typing import Any

SLOT_CELLS = 7
PAIR_CELLS = 2 * SLOT_CELLS

MAX_RANGES = 64
"""No series has more pairs, so that a reader never needs more memory for one than this."""

MIN_TIME, MAX_TIME = 1e9, 1e10
"""Seconds since the epoch, 2001 to 2286: another time is none at which anything was observed."""

_FIELDS = struct.Struct("<QQQddQ")
_CHECKSUM = struct.Struct("<Q")
_LOW = (1 << 64) - 1

Exemplar = tuple[str, str, float, float]
"""Trace id and span id in hexadecimal, the value, its time in seconds since the epoch."""


def write_exemplar(
    values: "memoryview[float]",
    cell: int,
    sequence: int,
    trace_id: int,
    span_id: int,
    value: float,
    time: float,
) -> None:
    """Store an exemplar in one slot of the pair at `cell`; `sequence` is one more each time.

    Threads: one store, during which no other thread of the process runs.

    Raises:
        struct.error: an id does not fit.
        ValueError: the pair is not in `values`.
    """
    fields = _FIELDS.pack(trace_id >> 64, trace_id & _LOW, span_id, value, time, sequence)
    slot = fields + _CHECKSUM.pack(zlib.crc32(fields))
    start = cell + SLOT_CELLS * (sequence & 1)
    # As bytes that are called reals: no conversion could change an id that looks like a NaN.
    values[start : start + SLOT_CELLS] = memoryview(slot).cast("d")


def read_exemplar(values: "array[float] | memoryview[Any]", cell: int) -> Exemplar | None:
    """The newest exemplar of the pair at `cell`, None when no slot holds one. Never raises."""
    newest: Exemplar | None = None
    latest = -1
    pair = values[cell : cell + PAIR_CELLS].tobytes() if cell >= 0 else b""
    if len(pair) < PAIR_CELLS * 8:
        return None
    for offset in (0, SLOT_CELLS * 8):
        fields = pair[offset : offset + _FIELDS.size]
        if zlib.crc32(fields) != _CHECKSUM.unpack_from(pair, offset + _FIELDS.size)[0]:
            continue
        upper, lower, span_id, value, time, sequence = _FIELDS.unpack(fields)
        trace_id = upper << 64 | lower
        plausible = math.isfinite(value) and MIN_TIME <= time <= MAX_TIME and trace_id and span_id
        if sequence > latest and plausible:
            latest = sequence
            newest = (f"{trace_id:032x}", f"{span_id:016x}", value, time)
    return newest
