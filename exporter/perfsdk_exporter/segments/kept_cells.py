"""Keeps a copy of a segment's cells and tells where a reading differs from it."""

from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from perfsdk.store.format import FormatError
from perfsdk.store.reader import SegmentReader
from perfsdk_exporter.segments.cells import Mask, Numbers, Reals

_LINE = 8
"""Cells whose changes are told together: a line of the processor's cache, 64 bytes."""

_CELLS_AT_ONCE = 32 << 10
"""What is read at once: 256 KiB, so that it is still in the processor's cache when compared."""


class KeptCells:
    """What was read last, and where that was not what had been read before.

    All cells are read each time, for nothing in a file could be trusted to tell what changed.
    But comparing them costs a fraction of adding them up.
    """

    def __init__(self) -> None:
        self.values: Reals = np.zeros(0)
        self._bits: NDArray[np.uint64] = self.values.view(np.uint64)
        self._changed: Mask = np.zeros(0, np.bool_)

    def refresh(self, reader: SegmentReader) -> None:
        """Take the cells that belong to the reader's series.

        Raises:
            FormatError: the file shrank.
        """
        count = reader.described_cells
        if count != len(self.values):
            self._resize(count)
        read = np.empty(min(count, _CELLS_AT_ONCE), np.uint64)
        for start in range(0, count, _CELLS_AT_ONCE):
            part = read[: count - start]
            reader.read_cells(start, part.data)
            self._take(start, part)

    def reread(self, reader: SegmentReader, cell: int, count: int) -> None:
        """Take some cells again; what is not there any more stays as it was."""
        with suppress(FormatError):
            reader.read_cells(cell, self._bits[cell : cell + count].data)

    def changed(self, cells: Numbers, count: int) -> Mask:
        """In which of the places from each of `cells` on, `count` long, or beside, were changes."""
        first, last = cells // _LINE, (cells + count - 1) // _LINE
        changed: Mask = self._changed[first]
        for lines in range(1, (count + 2 * _LINE - 2) // _LINE):
            changed |= self._changed[np.minimum(first + lines, last)]
        return changed

    def settle(self) -> None:
        """Forget where changes were: who asked for them has seen them."""
        self._changed[:] = False

    def _take(self, start: int, read: NDArray[np.uint64]) -> None:
        kept = self._bits[start : start + len(read)]  # as bits: a NaN is like itself
        differs = np.zeros(-(-len(read) // _LINE) * _LINE, np.bool_)
        np.not_equal(kept, read, out=differs[: len(read)])
        if not differs.any():
            return
        lines = differs.view(np.uint64) != 0  # a byte a cell: eight of them are one number
        first = start // _LINE
        self._changed[first : first + len(lines)] |= lines
        kept[:] = read

    def _resize(self, count: int) -> None:
        """Cells that are new begin as 0, like those of a new series."""
        before, known = self._bits, self._changed
        self.values = np.zeros(count)
        self._bits = self.values.view(np.uint64)
        self._changed = np.zeros(-(-count // _LINE), np.bool_)
        kept = min(count, len(before))
        self._bits[:kept] = before[:kept]
        self._changed[: min(len(known), len(self._changed))] = known[: len(self._changed)]
