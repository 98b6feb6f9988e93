"""Combines the snapshots of all processes into the families of one page; no input or output.

Counters and histograms sum over live and dead segments, gauges combine over live ones alone. A
series with a value that no process writes never gets into a total: it is left out and reported.
Sums are made in the order in which the processes started, so that a total of reals never goes
down because it is rounded in another order.
"""

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from operator import add
from typing import NamedTuple, TypeVar

from perfsdk.store.reader import SeriesRecord
from perfsdk_exporter.cells import (
    InvalidCellsError,
    Reading,
    read_counter,
    read_gauge,
    read_histogram,
)
from perfsdk_exporter.descriptions import Agreement, LeftOut, Member, agree
from perfsdk_exporter.discovery import SegmentSnapshot, SeriesGroup
from perfsdk_exporter.families import Family, Histogram, Labels

UNKNOWN = "(unknown)"
"""Stands for the metric where a damaged description does not tell it."""

MERGES = ("sum", "min", "max", "newest", "oldest", "worker")

Cells = TypeVar("Cells")


class Aggregate(NamedTuple):
    """The families of a page, and what is not on it."""

    families: list[Family]
    left_out: list[LeftOut]


def aggregate(snapshots: Iterable[SegmentSnapshot], now: float) -> Aggregate:
    """Combine processes into one page; `now` is seconds on the clock of `oldest` gauges."""
    left_out: list[LeftOut] = []
    described: dict[str, list[tuple[SegmentSnapshot, SeriesGroup]]] = {}
    newest_first = sorted(snapshots, key=lambda s: (s.started, s.identity), reverse=True)
    for snapshot in newest_first:
        if snapshot.skipped_records:
            left_out.append(LeftOut(snapshot.path, UNKNOWN, "invalid", snapshot.skipped_records))
        for group in snapshot.groups:
            metric = group.metric
            if group.rejected:
                left_out.append(LeftOut(snapshot.path, metric.name, "invalid", group.rejected))
            if group.series and (snapshot.live or metric.kind != "gauge"):
                described.setdefault(metric.name, []).append((snapshot, group))
    families = [_family(agree(found, left_out), now, left_out) for found in described.values()]
    return Aggregate([family for family in families if family.series_count], left_out)


def _family(agreement: Agreement, now: float, left_out: list[LeftOut]) -> Family:
    metric = agreement.metric
    family = Family(
        name=metric.name,
        kind=metric.kind,  # type: ignore[arg-type]  # the reader lets three kinds pass
        unit=metric.unit,
        help=metric.help,
        labels=agreement.labels,
        bounds=agreement.bounds,
    )
    if metric.kind == "counter":
        _add_counters(family.values, agreement, left_out)
    elif metric.kind == "histogram":
        _add_histograms(family.histograms, agreement, left_out)
    elif metric.merge in MERGES:
        _merge_gauges(family.values, agreement, now, left_out)
    else:
        left_out.extend(
            LeftOut(m.snapshot.path, metric.name, "unsupported", len(m.group.series))
            for m in agreement.members
        )
    return family


def _valid(
    agreement: Agreement,
    left_out: list[LeftOut],
    read: Callable[["array[float]", SeriesRecord], Cells],
) -> Iterator[tuple[Member, Labels, Cells]]:
    """What `read` makes of every series, oldest process first, without the invalid ones."""
    for member in reversed(agreement.members):
        invalid = 0
        for series in member.group.series:
            try:
                cells = read(member.snapshot.values, series)
            except InvalidCellsError:
                invalid += 1
                continue
            yield member, member.labels_of(series), cells
        if invalid:
            path = member.snapshot.path
            left_out.append(LeftOut(path, agreement.metric.name, "invalid", invalid))


def _add_counters(
    totals: dict[Labels, float], agreement: Agreement, left_out: list[LeftOut]
) -> None:
    for _, labels, value in _valid(agreement, left_out, read_counter):
        totals[labels] = totals.get(labels, 0.0) + value


def _add_histograms(
    totals: dict[Labels, Histogram], agreement: Agreement, left_out: list[LeftOut]
) -> None:
    for member, labels, histogram in _valid(agreement, left_out, read_histogram):
        if member.spans is not None:
            # Sums of neighbours: cumulated, they are what was counted up to each shared bound.
            histogram.buckets = [sum(histogram.buckets[a:b]) for a, b in member.spans]
        total = totals.setdefault(labels, histogram)
        if total is not histogram:
            total.buckets = list(map(add, total.buckets, histogram.buckets))
            total.sum += histogram.sum


def _merge_gauges(
    merged: dict[Labels, float], agreement: Agreement, now: float, left_out: list[LeftOut]
) -> None:
    found: dict[Labels, list[tuple[Member, Reading]]] = {}
    for member, labels, reading in _valid(agreement, left_out, read_gauge):
        if reading is not None:
            found.setdefault(labels, []).append((member, reading))
    for labels, readings in found.items():
        value = _merge(agreement.metric.merge, readings, now)
        if math.isfinite(value):
            merged[labels] = value


def _merge(rule: str, readings: Sequence[tuple[Member, Reading]], now: float) -> float:
    values = [reading.value for _, reading in readings]
    match rule:
        case "sum":
            return sum(values)
        case "min":
            return min(values)
        case "max":
            return max(values)
        case "newest":
            return max((reading for _, reading in readings), key=lambda r: r.time).value
        case "oldest":
            starts = [value for value in values if value > 0.0]
            return max(0.0, now - min(starts)) if starts else 0.0
        case _:
            # One a worker. Readings come oldest process first; a segment's own parts add up.
            newest = readings[-1][0]
            parts = takewhile(lambda found: found[0] is newest, reversed(readings))
            return sum(reading.value for _, reading in parts)
