"""A series as a segment describes it to its readers."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from perfsdk.store.description import MetricRecord

_PLACE = struct.Struct("<qq")
PLACE_BYTES = _PLACE.size


@dataclass(slots=True)
class SeriesRecord:
    """One series: `cell` is the first of its cells.

    What it got later is packed, for there may be millions of them: see `pack_places`.
    """

    metric: MetricRecord
    labels: tuple[str, ...]
    cell: int
    block_places: bytes = b""
    exemplar_places: bytes = b""

    @property
    def blocks(self) -> dict[int, int]:
        """By the number of a native block the first of its cells."""
        return unpack_places(self.block_places)

    @property
    def exemplars(self) -> dict[int, int]:
        """By the number of a range of values its pair of slots; see `read_exemplar`."""
        return unpack_places(self.exemplar_places)


def pack_places(places: Mapping[int, int]) -> bytes:
    """Numbers and cells, 8 bytes each in turns; a dictionary for each series takes memory."""
    return b"".join(_PLACE.pack(number, cell) for number, cell in places.items())


def unpack_places(packed: bytes) -> dict[int, int]:
    """Cells by their numbers."""
    return dict(_PLACE.iter_unpack(packed))
