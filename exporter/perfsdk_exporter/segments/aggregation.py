"""Combines the snapshots of all processes into the families of all pages; no input or output.

Counters and histograms sum over live and dead segments, gauges combine over live ones alone. A
series with a value that no process writes never gets into a total: it is left out and reported.
What does not change from one collection to the next is kept: which series of a segment belongs
to which row of its family, and the histograms that nobody added to.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from perfsdk.store.description import PAGES
from perfsdk_exporter.families import Family, Labels
from perfsdk_exporter.segments.cells import gather, valid_totals
from perfsdk_exporter.segments.descriptions import Agreement, LeftOut, agree, report_invalid
from perfsdk_exporter.segments.discovery import SegmentSnapshot, SeriesGroup
from perfsdk_exporter.segments.gauges import MERGES, merge_gauges
from perfsdk_exporter.segments.histograms import Histograms
from perfsdk_exporter.segments.rows import ExactSum, Rows

UNKNOWN = "(unknown)"
"""Stands for the metric where a damaged description does not tell it."""


class Aggregate(NamedTuple):
    """The families, each with its page, and what is on none."""

    families: list[Family]
    left_out: list[LeftOut]


class Aggregator:
    """Combines processes, again and again. Not safe for threads."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}

    def aggregate(self, snapshots: Iterable[SegmentSnapshot], now: float) -> Aggregate:
        """All pages; `now` is seconds on the clock of `oldest` gauges."""
        left_out: list[LeftOut] = []
        tables, self._tables = self._tables, {}
        families = []
        with np.errstate(all="ignore"):  # what overflows was not valid, or is not shown
            for name, found in _described(snapshots, left_out).items():
                agreement = agree(found, left_out)
                table = tables.get(name)
                if table is None or table.shape != _shape(agreement):
                    table = _Table(agreement)
                family = table.combine(agreement, now, left_out)
                if not table.rows.is_wasteful(family.series_count):
                    self._tables[name] = table
                if family.series_count:
                    families.append(family)
        return Aggregate(families, left_out)


class _Table:
    """What is kept of one family for as long as its shape stays the same."""

    def __init__(self, agreement: Agreement) -> None:
        self.shape = _shape(agreement)
        self._histograms = Histograms()
        self.rows = self._histograms.rows

    def combine(self, agreement: Agreement, now: float, left_out: list[LeftOut]) -> Family:
        metric = agreement.metric
        family = Family(
            name=metric.name,
            kind=metric.kind,  # type: ignore[arg-type]  # the reader lets three kinds pass
            unit=metric.unit,
            help=metric.help,
            labels=agreement.labels,
            bounds=agreement.bounds,
            page=metric.page,
        )
        if metric.page not in PAGES:
            _leave_out(agreement, left_out)
        elif metric.kind == "counter":
            family.values.update(_add_counters(self.rows, agreement, left_out))
        elif metric.kind == "histogram":
            family.histograms.update(self._histograms.combine(agreement, left_out))
        elif metric.merge in MERGES:
            family.values.update(merge_gauges(self.rows, agreement, now, left_out))
        else:
            _leave_out(agreement, left_out)
        return family


def _leave_out(agreement: Agreement, left_out: list[LeftOut]) -> None:
    """Report what a newer version wrote and this one cannot show."""
    metric = agreement.metric
    left_out.extend(
        LeftOut(m.snapshot.path, metric.name, "unsupported", len(m.group.series), metric.page)
        for m in agreement.members
    )


def _shape(agreement: Agreement) -> tuple[object, ...]:
    metric = agreement.metric
    return metric.kind, metric.merge, agreement.labels, agreement.bounds


def _described(
    snapshots: Iterable[SegmentSnapshot], left_out: list[LeftOut]
) -> dict[str, list[tuple[SegmentSnapshot, SeriesGroup]]]:
    """The groups of each metric, those of the newest process first."""
    described: dict[str, list[tuple[SegmentSnapshot, SeriesGroup]]] = {}
    for snapshot in sorted(snapshots, key=lambda s: (s.started, s.identity), reverse=True):
        if snapshot.skipped_records:
            left_out.append(LeftOut(snapshot.path, UNKNOWN, "invalid", snapshot.skipped_records))
        for group in snapshot.groups:
            metric = group.metric
            if group.rejected:
                left_out.append(
                    LeftOut(snapshot.path, metric.name, "invalid", group.rejected, metric.page)
                )
            if group.series and (snapshot.live or metric.kind != "gauge"):
                described.setdefault(metric.name, []).append((snapshot, group))
    return described


def _add_counters(rows: Rows, agreement: Agreement, left_out: list[LeftOut]) -> dict[Labels, float]:
    placed = rows.place(agreement.members)
    exact = ExactSum(len(rows.labels))
    filled = np.zeros(len(rows.labels), np.bool_)
    for member, placement in placed:
        archive = member.snapshot.archive
        cells = gather(member.snapshot.values, placement.cells, 2 if archive else 1)
        valid = valid_totals(cells[:, 0])
        for part in placement.parts:
            at = np.flatnonzero(part & valid)
            for column in cells[at].T:  # an archive has the low part of each total beside it
                exact.add(placement.rows[at], column)
            filled[placement.rows[at]] = True
        report_invalid(left_out, agreement, member.snapshot, valid)
    return rows.by_labels(exact.totals(), filled)
