"""What the histograms of one family add up to: arrays over its rows and native buckets."""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk_exporter.segments.cells import (
    Mask,
    Numbers,
    Reals,
    are_counts,
    sums_of,
    valid_histograms,
)
from perfsdk_exporter.segments.descriptions import Member
from perfsdk_exporter.segments.histogram_reading import Reading, low_parts
from perfsdk_exporter.segments.rows import ExactSum, Placement

Scalar = TypeVar("Scalar", np.float64, np.bool_)

_MAX_MISSING = 0.01
"""Native buckets that lack more of the observations than this part are not shown."""
_MAX_MISSING_AT_LEAST = 8


class Counts(NamedTuple):
    """A copy of some rows, and of some slots of native buckets."""

    buckets: Reals
    sums: Reals
    zeros: Reals
    native: Mask
    filled: Mask
    slots: Reals


class Totals:
    """For each row its buckets, its sum, what is in its zero bucket, whether its native buckets
    can be shown, and whether any process has it; for each slot eight native buckets.
    """

    def __init__(self, buckets: int, *, native: bool) -> None:
        self.is_native = native
        self.buckets = np.zeros((0, buckets))
        self.sums: Reals = np.zeros(0)
        self.zeros: Reals = np.zeros(0)
        self.native: Mask = np.zeros(0, np.bool_)
        self.filled: Mask = np.zeros(0, np.bool_)
        self.slots = np.zeros((0, NATIVE_BUCKETS_PER_BLOCK))

    def grow(self, rows: int, slots: int) -> None:
        """Make room for rows and slots that are new."""
        self.buckets = _grown(self.buckets, rows)
        self.sums = _grown(self.sums, rows)
        self.zeros = _grown(self.zeros, rows)
        self.native = _grown(self.native, rows)
        self.filled = _grown(self.filled, rows)
        self.slots = _grown(self.slots, slots)

    def at(self, rows: Numbers, slots: Numbers) -> Counts:
        """These rows and slots."""
        return Counts(
            self.buckets[rows],
            self.sums[rows],
            self.zeros[rows],
            self.native[rows],
            self.filled[rows],
            self.slots[slots],
        )

    def clear(self, rows: Numbers, slots: Numbers) -> None:
        """Begin these anew."""
        self.buckets[rows] = 0.0
        self.sums[rows] = self.zeros[rows] = 0.0
        self.slots[slots] = 0.0
        self.native[rows] = self.is_native
        self.filled[rows] = False

    def add(
        self, member: Member, placement: Placement, at: Numbers, reading: Reading, sums: ExactSum
    ) -> None:
        """Add one process's series at these positions, and keep which of them are valid.

        What they have observed goes to `sums`, which must be exact over all processes.
        """
        native, cells = member.group.metric.native, reading.cells
        valid = placement.valid[at] = valid_histograms(cells[:, 0], cells[:, 1:])
        buckets = cells[:, 1 + native :]
        if member.spans is not None:
            # Sums of neighbours: cumulated, they are what was counted up to each shared bound.
            buckets = np.add.reduceat(buckets, [start for start, _ in member.spans], axis=1)
        low = low_parts(member, placement, at)
        for part in placement.parts:
            chosen = _selection(part[at] & valid)
            rows = placement.rows[at[chosen]]
            self.buckets[rows] += buckets[chosen]
            sums.add(rows, cells[chosen, 0])
            if low is not None:
                sums.add(rows, low[chosen])
            self.filled[rows] = True
            if self.is_native:
                missing = reading.missing[chosen]
                counted = sums_of(buckets[chosen])
                allowed = np.maximum(counted * _MAX_MISSING, _MAX_MISSING_AT_LEAST)
                rests = ~placement.restless[at[chosen]]
                self.zeros[rows] += cells[chosen, 1] + missing
                self.native[rows] &= rests & (missing >= 0.0) & (missing <= allowed)
        if self.is_native:
            self._add_blocks(placement, at, reading, valid)

    def _add_blocks(self, placement: Placement, at: Numbers, reading: Reading, valid: Mask) -> None:
        wanted = valid[reading.block_rows]
        counts = are_counts(reading.blocks) & wanted
        slots = reading.block_slots[counts]
        if placement.shares_slots:
            np.add.at(self.slots, slots, reading.blocks[counts])
        else:
            self.slots[slots] += reading.blocks[counts]
        damaged = reading.block_rows[~counts & wanted]
        self.native[placement.rows[at[damaged]]] = False


def _selection(chosen: Mask) -> Numbers | slice:
    """What takes these of an array; all of them, as nearly always, without a copy."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _grown(values: NDArray[Scalar], size: int) -> NDArray[Scalar]:
    more = np.zeros((size - len(values), *values.shape[1:]), values.dtype)
    return np.concatenate([values, more]) if len(more) else values
