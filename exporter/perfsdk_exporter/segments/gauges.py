"""Merges the gauges of living processes by the rule that each metric brings along."""

import numpy as np

from perfsdk_exporter.families import Labels
from perfsdk_exporter.segments.cells import Numbers, Reals, are_there, gather
from perfsdk_exporter.segments.descriptions import Agreement, LeftOut, report_invalid
from perfsdk_exporter.segments.rows import Placement, Rows

MERGES = ("sum", "min", "max", "newest", "oldest", "worker")


def merge_gauges(
    rows: Rows, agreement: Agreement, now: float, left_out: list[LeftOut]
) -> dict[Labels, float]:
    """The gauges by label values, in their order; `now` on the clock of `oldest` gauges.

    NaN means not set, and no page should show an infinity: such gauges are absent.
    """
    rule = agreement.metric.merge
    # Oldest first: of the gauges with one worker's number the newest process's counts.
    placed = rows.place(reversed(agreement.members))
    merged = np.full(len(rows.labels), np.nan)
    times = np.zeros(len(rows.labels))
    for member, placement in placed:
        values = member.snapshot.values
        count = member.group.metric.cell_count
        there = are_there(values, placement.cells, count)
        report_invalid(left_out, agreement, member.snapshot, there)
        cells = gather(values, placement.cells, count)
        if rule == "worker":
            own = _added_up(placement, cells, len(merged))
            merged = np.where(np.isnan(own), merged, own)
            continue
        for part in placement.parts:
            at = np.flatnonzero(part & there & np.isfinite(cells[:, 0]))
            _merge(rule, merged, times, placement.rows[at], cells[at])
    if rule == "oldest":
        # The start of the oldest, infinite when nothing has one.
        merged = np.where(np.isinf(merged), 0.0, np.maximum(0.0, now - merged))
    return rows.by_labels(merged, np.isfinite(merged))


def _merge(rule: str, merged: Reals, times: Reals, rows: Numbers, cells: Reals) -> None:
    """Take the gauges of one process into `merged`, where NaN is none yet."""
    known, values = merged[rows], cells[:, 0]
    match rule:
        case "sum":
            merged[rows] = np.where(np.isnan(known), values, known + values)
        case "min":
            merged[rows] = np.fmin(known, values)
        case "max":
            merged[rows] = np.fmax(known, values)
        case "oldest":
            merged[rows] = np.fmin(known, np.where(values > 0.0, values, np.inf))
        case "newest":
            changed = np.where(np.isfinite(cells[:, 1]), cells[:, 1], 0.0)
            newer = np.isnan(known) | (changed > times[rows])
            merged[rows[newer]] = values[newer]
            times[rows[newer]] = changed[newer]


def _added_up(placement: Placement, cells: Reals, size: int) -> Reals:
    """The gauges of one process by row, NaN where it has none; parts of a series add up."""
    own = np.full(size, np.nan)
    for part in placement.parts:
        at = np.flatnonzero(part & np.isfinite(cells[:, 0]))
        rows = placement.rows[at]
        own[rows] = np.nan_to_num(own[rows]) + cells[at, 0]
    return own
