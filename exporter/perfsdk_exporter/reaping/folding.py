"""Totals of processes that ended: segments are added whole or not at all, no sum is rounded.

The value of a counter and the sum of a histogram are kept in two parts (a double-double): what
rounding takes away from the first is in the second. So a total does not change when a process
is folded into it. Gauges and exemplars of processes that ended are not kept.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import NamedTuple

from perfsdk.store.description import MetricRecord, describe
from perfsdk.store.format import CELL, NATIVE_BUCKETS_PER_BLOCK, pack_record
from perfsdk.store.series import SeriesRecord
from perfsdk_exporter.segments.cells import MAX_COUNT, MAX_TOTAL

EXTRA_CELLS = 2
"""Cells of a series in an archive beside those of its metric: `Total.low`, `Total.added`."""

Labels = tuple[str, ...]
SeriesKey = tuple[str, frozenset[tuple[str, str]]]
"""A series as a page names it: metric and labels, without empty ones."""


class RefusedError(Exception):
    """What cannot be folded, and why; nothing was changed."""


class Ended(NamedTuple):
    """What a process that ended has recorded; `started` in seconds since the epoch."""

    series: Sequence[SeriesRecord]
    values: "array[float]"
    started: float


@dataclass(slots=True)
class Total:
    """One series: `cells` and `blocks` as in a segment, `low` the second part of the first cell.

    `added`: when it was last added to, in seconds since the epoch.
    """

    cells: "array[float]"
    low: float
    added: float
    blocks: dict[int, "array[float]"]


@dataclass(slots=True)
class MetricTotals:
    """All series of one description; `started` is that of the newest process that had it."""

    started: float
    series: dict[Labels, Total] = field(default_factory=dict)


Totals = dict[MetricRecord, MetricTotals]


def fold(totals: Totals, ended: Ended, now: float) -> Totals:
    """What the totals become for the series of one process; `totals` stays as it is.

    Raises:
        RefusedError: it holds a value that no process writes, or a total would become one.
    """
    changes: Totals = {}
    # By id, because hashing a description for each of its series costs more than adding it.
    tables: dict[int, tuple[dict[Labels, Total], dict[Labels, Total]]] = {}
    for record in ended.series:
        metric = record.metric
        if metric.kind == "gauge":
            continue
        table = tables.get(id(metric))
        if table is None:
            known = totals.get(metric)
            changed = changes.setdefault(metric, MetricTotals(ended.started))
            changed.started = max(ended.started, known.started if known else ended.started)
            table = tables[id(metric)] = (known.series if known else {}, changed.series)
        before, after = table
        total = after.get(record.labels) or before.get(record.labels)
        after[record.labels] = _add(total, read_total(record, ended.values, now))
    return changes


def apply(totals: Totals, changes: Totals) -> None:
    """Make the changes that `fold` found."""
    for metric, changed in changes.items():
        known = totals.setdefault(metric, changed)
        known.started = changed.started
        known.series.update(changed.series)


def growth_bytes(totals: Totals, changes: Totals) -> int:
    """The most that an archive of `totals` grows by these changes.

    Raises:
        RefusedError: a description is too long to be written.
    """
    size = 0
    try:
        for metric, changed in changes.items():
            known = totals.get(metric)
            if known is None:
                size += len(pack_record(["metric", 1 << 40, describe(metric)])) + _META_BYTES
            before = known.series if known else {}
            for labels, total in changed.series.items():
                old = before.get(labels)
                if old is None:
                    size += len(pack_record(["series", 1 << 40, 1 << 40, labels]))
                    size += (len(total.cells) + EXTRA_CELLS) * CELL
                size += (len(total.blocks) - (len(old.blocks) if old else 0)) * _BLOCK_BYTES
    except ValueError as error:
        raise RefusedError(str(error)) from error
    return size


def series_key(metric: MetricRecord, labels: Labels) -> SeriesKey:
    """The name of a series on a page."""
    pairs = zip(metric.labels, labels, strict=True)
    return metric.name, frozenset((label, value) for label, value in pairs if value)


def old_series(
    totals: Totals, now: float, retention_seconds: float
) -> Iterator[tuple[MetricRecord, Labels]]:
    """The series that nobody has added to for so long; `now` in seconds since the epoch."""
    for metric, known in totals.items():
        for labels, total in known.series.items():
            # Later than now: the clock was set back. Its time begins here.
            total.added = min(total.added, now)
            if now - total.added > retention_seconds:
                yield metric, labels


def drop(totals: Totals, series: Iterable[tuple[MetricRecord, Labels]]) -> None:
    """Let go of these series, and of metrics that have none left."""
    for metric, labels in series:
        del totals[metric].series[labels]
        if not totals[metric].series:
            del totals[metric]


def read_total(record: SeriesRecord, values: "array[float]", added: float) -> Total:
    """The cells of a counter or a histogram.

    Raises:
        RefusedError: they hold a value that no process writes.
    """
    metric = record.metric
    cells = values[record.cell : record.cell + metric.cell_count]
    blocks = {
        number: values[cell : cell + NATIVE_BUCKETS_PER_BLOCK]
        for number, cell in record.blocks.items()
    }
    low = -MAX_TOTAL if metric.kind == "histogram" else 0.0
    valid = len(cells) == metric.cell_count and low <= cells[0] <= MAX_TOTAL
    # The cells after the first of what is no histogram are times.
    if valid and metric.kind == "histogram":
        valid = _are_counts(cells[1:]) and all(map(_are_counts, blocks.values()))
        if valid and metric.native:
            # What is in native buckets was counted in the others before.
            valid = sum(cells[2:]) >= cells[1] + sum(map(sum, blocks.values()))
    if not valid:
        raise RefusedError(f"{metric.name} has a value that no process writes")
    return Total(cells, 0.0, added, blocks)


def _are_counts(cells: "array[float]") -> bool:
    # A NaN or an infinity makes the sum one too, and every comparison with NaN is false.
    if not 0.0 <= sum(cells) <= MAX_COUNT or min(cells) < 0.0:
        return False
    return all(map(float.is_integer, cells))


def _add(total: Total | None, new: Total) -> Total:
    if total is None:
        return new
    if not any(new.cells) and not any(map(any, new.blocks.values())):
        return total  # nobody added to it: it is as old as before
    cells = array("d", map(add, total.cells, new.cells))
    cells[0], low = _exact_sum(total.cells[0], total.low, new.cells[0])
    if abs(cells[0]) > MAX_TOTAL or sum(cells[1:]) > MAX_COUNT:
        raise RefusedError("a total would be larger than any page can show")
    blocks = dict(total.blocks)
    for number, counts in new.blocks.items():
        known = blocks.get(number)
        blocks[number] = counts if known is None else array("d", map(add, known, counts))
    return Total(cells, low, new.added, blocks)


def _exact_sum(high: float, low: float, value: float) -> tuple[float, float]:
    """The sum of all three, in two parts (Knuth's TwoSum, and again to make the first nearest)."""
    total = high + value
    added = total - high
    low += (high - (total - added)) + (value - added)
    nearest = total + low
    return nearest, low - (nearest - total)


_META_BYTES = 32
_BLOCK_BYTES = NATIVE_BUCKETS_PER_BLOCK * CELL + len(
    pack_record(["block", 1 << 40, -9999, 1 << 40])
)
