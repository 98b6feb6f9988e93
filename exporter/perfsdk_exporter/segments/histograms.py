"""Adds up the histograms of all processes; one that did not change is the same object again."""

import numpy as np

from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk_exporter.families import Histogram, Labels, Native
from perfsdk_exporter.segments.cells import (
    Mask,
    Numbers,
    Reals,
    are_counts,
    gather,
    sums_of,
    valid_histograms,
)
from perfsdk_exporter.segments.descriptions import Agreement, LeftOut, Member, report_invalid
from perfsdk_exporter.segments.exemplars import NewestExemplars
from perfsdk_exporter.segments.rows import ExactSum, Placement, Rows, selected

_READINGS = 5
"""How often cells are read again that were read in the middle of an observation."""

_MAX_REREAD = 100
"""How many series of a segment are read again: more than that are no accident."""

_MAX_MISSING = 0.01
"""Native buckets that lack more of the observations than this part are not shown."""
_MAX_MISSING_AT_LEAST = 8

_NOTHING = Histogram([], 0.0)


class _Totals:
    """Arrays over the rows, and over the slots of native buckets, of one family."""

    def __init__(self, rows: int, slots: int, buckets: int, *, native: bool) -> None:
        self.buckets = np.zeros((rows, buckets))
        self.exact = ExactSum(rows)
        self.sums: Reals = np.empty(0)
        self.zeros = np.zeros(rows)
        self.slots = np.zeros((slots, NATIVE_BUCKETS_PER_BLOCK))
        self.native: Mask = np.full(rows, native, np.bool_)
        self.filled: Mask = np.zeros(rows, np.bool_)


class Histograms:
    """The histograms of one family, kept from one collection to the next."""

    def __init__(self) -> None:
        self.rows = Rows()
        self._exemplars = NewestExemplars()
        self._last: _Totals | None = None
        self._shown: list[Histogram] = []

    def combine(self, agreement: Agreement, left_out: list[LeftOut]) -> dict[Labels, Histogram]:
        """The totals by label values, in their order."""
        placed = self.rows.place(agreement.members)
        count, slots = len(self.rows.labels), len(self.rows.slots)
        native = all(member.group.metric.native for member in agreement.members)
        totals = _Totals(count, slots, len(agreement.bounds) + 1, native=native)
        for member, placement in placed:
            valid = _add(totals, member, placement, native=native)
            report_invalid(left_out, agreement, member.snapshot, valid)
        totals.sums = totals.exact.totals()
        traced = self._exemplars.update(placed, self.rows.pairs)
        self._renew(totals, agreement.bounds, traced, native=native)
        return self.rows.by_labels(self._shown, totals.filled)

    def _renew(
        self, totals: _Totals, bounds: tuple[float, ...], traced: set[int], *, native: bool
    ) -> None:
        """Make histograms of the rows that are not what they were, or `traced` again."""
        new = len(self.rows.labels) - len(self._shown)
        self._shown += [_NOTHING] * new
        is_changed = self._changed(totals)
        is_changed[list(traced)] = True
        changed = np.flatnonzero(is_changed & totals.filled)
        self._last = totals
        natives = self._natives(totals, changed) if native and len(changed) else {}
        for row, buckets, total in zip(
            changed.tolist(),
            totals.buckets[changed].tolist(),
            totals.sums[changed].tolist(),
            strict=True,
        ):
            exemplars = self._exemplars.of(row, bounds)
            self._shown[row] = Histogram(buckets, total, natives.get(row), exemplars)

    def _changed(self, totals: _Totals) -> Mask:
        changed: Mask = totals.filled.copy()
        last = self._last
        if last is None or last.buckets.shape[1] != totals.buckets.shape[1]:
            return changed
        old = len(last.filled)
        changed[:old] &= (
            (totals.buckets[:old] != last.buckets).any(axis=1)
            | (totals.sums[:old] != last.sums)
            | (totals.zeros[:old] != last.zeros)
            | (totals.native[:old] != last.native)
            | ~last.filled
        )
        grown = (totals.slots[: len(last.slots)] != last.slots).any(axis=1)
        slots = np.concatenate(
            [np.flatnonzero(grown), np.arange(len(last.slots), len(totals.slots))]
        )
        for row in {self.rows.slots[slot][0] for slot in slots.tolist()}:
            changed[row] = totals.filled[row]
        return changed

    def _natives(self, totals: _Totals, changed: Numbers) -> dict[int, Native]:
        places = self.rows.slot_places()
        wanted = np.zeros(len(self.rows.labels), np.bool_)
        wanted[changed] = totals.native[changed]
        chosen = np.flatnonzero(wanted)
        zeros = totals.zeros[chosen].tolist()
        natives = {row: Native(zero, {}) for row, zero in zip(chosen.tolist(), zeros, strict=True)}
        slots = np.flatnonzero(wanted[places[:, 0]])
        slots = slots[np.lexsort((places[slots, 1], places[slots, 0]))]
        counts = totals.slots[slots]
        of, bucket = np.nonzero(counts)
        rows, blocks = places[slots].T
        for row, index, count in zip(
            rows[of].tolist(),
            (blocks[of] * NATIVE_BUCKETS_PER_BLOCK + bucket).tolist(),
            counts[of, bucket].tolist(),
            strict=True,
        ):
            natives[row].buckets[index] = count
        return natives


def _add(totals: _Totals, member: Member, placement: Placement, *, native: bool) -> Mask:
    """Add what one process recorded; which of its series a process can write."""
    metric = member.group.metric
    cells = gather(member.snapshot.values, placement.cells, metric.cell_count)
    first = 1 + metric.native
    if native:
        blocks = _read_blocks(member, placement)
        missing = _missing(cells, blocks, placement)
        if _settle(member, placement, missing):
            cells = gather(member.snapshot.values, placement.cells, metric.cell_count)
            blocks = _read_blocks(member, placement)
            missing = _missing(cells, blocks, placement)
        # What a dead process lacks is final; what a living one lacks may be on its way.
        settled = (missing == placement.missing) | (not member.snapshot.live)
        placement.missing = missing
    sums, buckets = cells[:, 0], cells[:, first:]
    valid = valid_histograms(sums, cells[:, 1:])
    if member.spans is not None:
        # Sums of neighbours: cumulated, they are what was counted up to each shared bound.
        starts = [start for start, _ in member.spans]
        buckets = np.add.reduceat(buckets, starts, axis=1)
    low = _low_parts(member, placement)
    for part in placement.parts:
        at = selected(part, valid)
        rows = placement.rows[at]
        totals.buckets[rows] += buckets[at]
        totals.exact.add(rows, sums[at])
        if low is not None:
            totals.exact.add(rows, low[at])
        totals.filled[rows] = True
        if native:
            counted = sums_of(buckets[at])
            lacking = missing[at]
            allowed = np.maximum(counted * _MAX_MISSING, _MAX_MISSING_AT_LEAST)
            totals.zeros[rows] += cells[at, 1] + lacking
            totals.native[rows] &= settled[at] & (lacking >= 0.0) & (lacking <= allowed)
    if native:
        _add_blocks(totals, placement, blocks, valid)
    return valid


def _add_blocks(totals: _Totals, placement: Placement, blocks: Reals, valid: Mask) -> None:
    counts = are_counts(blocks) & valid[placement.block_series]
    slots = placement.block_slots[counts]
    if placement.shares_slots:
        np.add.at(totals.slots, slots, blocks[counts])
    else:
        totals.slots[slots] += blocks[counts]
    damaged = placement.block_series[~counts & valid[placement.block_series]]
    totals.native[placement.rows[damaged]] = False


def _read_blocks(member: Member, placement: Placement) -> Reals:
    return gather(member.snapshot.values, placement.block_cells, NATIVE_BUCKETS_PER_BLOCK)


def _missing(cells: Reals, blocks: Reals, placement: Placement) -> Reals:
    """How many observations of each series are in no native bucket.

    A process that is killed in the middle of one leaves it in its classic bucket alone.
    """
    in_blocks = np.bincount(
        placement.block_series, weights=sums_of(blocks), minlength=len(placement.rows)
    )
    missing: Reals = sums_of(cells[:, 2:]) - cells[:, 1] - in_blocks
    return missing


def _settle(member: Member, placement: Placement, missing: Reals) -> bool:
    """Read again what was read in the middle of an observation; whether there was any."""
    snapshot = member.snapshot
    if not snapshot.live:
        return False
    torn = np.flatnonzero(missing != placement.missing)[:_MAX_REREAD]
    for position in torn.tolist():
        _reread(member, placement, position)
    return bool(len(torn))


def _reread(member: Member, placement: Placement, position: int) -> None:
    snapshot, group = member.snapshot, member.group
    series = group.series[position]
    count = group.metric.cell_count
    for _ in range(_READINGS):
        snapshot.reread(series.cell, count)
        for cell in series.blocks.values():
            snapshot.reread(cell, NATIVE_BUCKETS_PER_BLOCK)
        values = snapshot.values
        in_blocks = sum(
            sum(values[cell : cell + NATIVE_BUCKETS_PER_BLOCK]) for cell in series.blocks.values()
        )
        own = values[series.cell + 1 : series.cell + count]
        if sum(own[1:]) - own[0] == in_blocks + placement.missing[position]:
            return


def _low_parts(member: Member, placement: Placement) -> Reals | None:
    """What an archive keeps beside each sum, so that folding does not round it."""
    if not member.snapshot.archive:
        return None
    count = member.group.metric.cell_count
    return gather(member.snapshot.values, placement.cells + count, 1)[:, 0]
