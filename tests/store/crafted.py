"""Segment files made by hand, and what a reader makes of any file."""

import struct

from perfsdk.store.format import PAGE, FormatError, Header, pack_header, pack_record
from perfsdk.store.reader import SegmentReader

METRIC = {"name": "a_total", "kind": "counter", "labels": [], "bounds": []}
NATIVE_METRIC = {"name": "b", "kind": "histogram", "labels": [], "bounds": [1.0], "native": True}


def segment_of(
    *records, identity=bytes(16), values_size=1 << 15, cells_end=1000, records_size=1 << 15
):
    """A well-formed file with the given records, each as its fields or as bytes."""
    data = b"".join(r if isinstance(r, bytes) else pack_record(r) for r in records)
    header = pack_header(Header(identity, 1, 0.0, values_size, records_size))
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
