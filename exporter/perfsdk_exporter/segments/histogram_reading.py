"""Reads one process's histograms, again where it was in the middle of an observation."""

from typing import NamedTuple

import numpy as np

from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk_exporter.segments.cells import Mask, Numbers, Reals, gather, sums_of
from perfsdk_exporter.segments.descriptions import Member
from perfsdk_exporter.segments.rows import Placement

_READINGS = 5
"""How often cells are read again that were read in the middle of an observation."""

_MAX_REREAD = 100
"""How many series of a segment are read again: more than that are no accident."""


class Reading(NamedTuple):
    """Some series of one metric in one segment, a row of `cells` each.

    `missing` is how many observations of each are in no native bucket: a process that is killed
    in the middle of one leaves it in its classic bucket alone. The native buckets `blocks[i]`
    belong to row `block_rows[i]` of `cells` and to slot `block_slots[i]` of the family. Of what
    is not native there are no blocks, and nothing is missing.
    """

    cells: Reals
    missing: Reals
    blocks: Reals
    block_rows: Numbers
    block_slots: Numbers


def read(member: Member, placement: Placement, at: Numbers, *, native: bool) -> Reading:
    """The series at these positions; `native`: with their native buckets.

    Keeps in the placement what they miss, and whether that may be on its way.
    """
    if not native:
        cells = _cells(member, placement, at)
        none = np.empty(0, np.intp)
        return Reading(cells, np.zeros(len(at)), np.empty((0, 1)), none, none)
    reading = _read(member, placement, at)
    live = member.snapshot.live
    torn = reading.missing != placement.missing[at]
    if live and torn.any():
        for position in at[torn][:_MAX_REREAD].tolist():
            _reread(member, placement, position)
        reading = _read(member, placement, at)
        torn = reading.missing != placement.missing[at]
    # What a dead process lacks is final; what a living one lacks may be on its way.
    placement.missing[at], placement.restless[at] = reading.missing, torn & live
    return reading


def changed(member: Member, placement: Placement) -> Mask:
    """Which series may not be what they were when they were last read."""
    asked = member.snapshot.changed
    if asked is None:
        return np.ones(len(placement.rows), np.bool_)
    metric = member.group.metric
    # An archive has one part more of each sum.
    found = asked(placement.cells, metric.cell_count + member.snapshot.archive)
    if metric.native:
        blocks = asked(placement.block_cells, NATIVE_BUCKETS_PER_BLOCK)
        found[placement.block_series[blocks]] = True
    return found | placement.restless


def low_parts(member: Member, placement: Placement, at: Numbers) -> Reals | None:
    """What an archive keeps beside each sum, so that folding does not round it."""
    if not member.snapshot.archive:
        return None
    count = member.group.metric.cell_count
    return gather(member.snapshot.values, placement.cells[at] + count, 1)[:, 0]


def _cells(member: Member, placement: Placement, at: Numbers) -> Reals:
    return gather(member.snapshot.values, placement.cells[at], member.group.metric.cell_count)


def _read(member: Member, placement: Placement, at: Numbers) -> Reading:
    row_of = np.full(len(placement.rows), -1)
    row_of[at] = np.arange(len(at))
    rows = row_of[placement.block_series]
    chosen = np.flatnonzero(rows >= 0)
    rows = rows[chosen]
    cells = _cells(member, placement, at)
    where = placement.block_cells[chosen]
    blocks = gather(member.snapshot.values, where, NATIVE_BUCKETS_PER_BLOCK)
    in_blocks = np.bincount(rows, weights=sums_of(blocks), minlength=len(at))
    missing: Reals = sums_of(cells[:, 2:]) - cells[:, 1] - in_blocks
    return Reading(cells, missing, blocks, rows, placement.block_slots[chosen])


def _reread(member: Member, placement: Placement, position: int) -> None:
    snapshot, group = member.snapshot, member.group
    series = group.series[position]
    count = group.metric.cell_count
    blocks = [slice(cell, cell + NATIVE_BUCKETS_PER_BLOCK) for cell in series.blocks.values()]
    for _ in range(_READINGS):
        snapshot.reread(series.cell, count)
        for block in blocks:
            snapshot.reread(block.start, NATIVE_BUCKETS_PER_BLOCK)
        own = snapshot.values[series.cell + 1 : series.cell + count]
        in_blocks = sum(snapshot.values[block].sum() for block in blocks)
        if own[1:].sum() - own[0] == in_blocks + placement.missing[position]:
            return
