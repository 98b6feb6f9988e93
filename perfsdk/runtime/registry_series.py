"""The cells of one mirrored metric: a copy that never counts twice and never goes back."""

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from perfsdk.catalog import OVERFLOW, Metric
from perfsdk.recorder import Recorder
from perfsdk.runtime.registry_families import Labels, Rows
from perfsdk.store.writer import SCRATCH

Identity = tuple[Any, ...]


def identify(metric: Metric) -> Identity:
    """What two descriptions of the same metric share."""
    return metric.name, metric.kind, metric.labels, metric.bounds, metric.merge


@dataclass(slots=True)
class _Series:
    """One series: a counter's cells hold `offset` and what the registry said `last`.

    The offset is what the registry forgot by a reset, less what it inherited by a fork. A reset
    shows as a lower value, as it does to Prometheus.
    """

    cell: int
    offset: list[float]
    last: list[float]


class MirroredMetric:
    """The series of one metric, within its bound. Used by one thread at a time."""

    def __init__(self, metric: Metric, recorder: Recorder) -> None:
        self.metric = metric
        self._recorder = recorder
        self._series: dict[Labels, _Series] = {}
        self._is_over_bound = False

    def write(self, rows: Rows, inherited: Rows) -> list[int]:
        """Set the cells of all rows; which cells these are.

        Raises:
            ValueError: no segment can hold the metric.
            IndexError: the segment is closed.
        """
        cells = []
        for labels, row in self._bounded(rows).items():
            series = self._series.get(labels) or self._make(labels, row, inherited)
            if series is None:
                continue
            cells.append(series.cell)
            if self.metric.kind == "gauge":
                self._set(series, row)
            else:
                self._advance(series, row)
            series.last = row
        return cells

    def unset_all_but(self, cells: set[int]) -> None:
        """Gauges that the registry does not have any more are not set."""
        if self.metric.kind == "gauge":
            for series in self._series.values():
                if series.cell not in cells:
                    self._recorder.writer.values[series.cell] = math.nan

    def start_from(self, inherited: Rows) -> None:
        """In a forked child: its cells are 0, but its registry has what the parent counted."""
        for labels, series in self._series.items():
            series.last = inherited.get(labels, series.last)
            series.offset = [-value for value in series.last]

    def _make(self, labels: Labels, row: list[float], inherited: Rows) -> _Series | None:
        cell = self._recorder.writer.series(self.metric, labels)
        if cell == SCRATCH:
            if self._recorder.writer.segment is not None:  # else it is closed
                self._recorder.dropped(self.metric.name, "")
            return None
        before = inherited.get(labels, [0.0] * len(row))
        last = [] if self.metric.kind == "gauge" else before
        series = self._series[labels] = _Series(cell, [-value for value in before], last)
        return series

    def _set(self, series: _Series, row: list[float]) -> None:
        values = self._recorder.writer.values
        if self.metric.merge == "newest" and series.last != row:
            values[series.cell + 1] = time.time()
        values[series.cell] = row[0]

    def _advance(self, series: _Series, row: list[float]) -> None:
        # The sum of a histogram may go down, its counts never do but by a reset.
        counts = slice(1 if self.metric.kind == "histogram" else 0, None)
        if any(new < old for new, old in zip(row[counts], series.last[counts], strict=True)):
            series.offset = [a + b for a, b in zip(series.offset, series.last, strict=True)]
        values = self._recorder.writer.values
        for index, (offset, value) in enumerate(zip(series.offset, row, strict=True)):
            values[series.cell + index] = offset + value

    def _bounded(self, rows: Rows) -> Rows:
        """The rows that may be written; what is over the bound adds up in one, but for gauges."""
        news = [labels for labels in rows if labels not in self._series]
        room = max(0, self.metric.max_series - len(self._series))
        if len(news) <= room:
            return rows
        if not self._is_over_bound:
            self._is_over_bound = True
            self._recorder.dropped(self.metric.name, _widest(self.metric, rows))
        over = [rows[labels] for labels in news[room:]]
        kept = {labels: rows[labels] for labels in rows.keys() - set(news[room:])}
        if self.metric.kind != "gauge":
            overflow = (OVERFLOW,) * len(self.metric.labels)
            kept[overflow] = [sum(column) for column in zip(*over, strict=True)]
        return kept


def _widest(metric: Metric, rows: Iterable[Labels]) -> str:
    """The label with the most values: the one that grew."""
    columns: Iterator[tuple[str, ...]] = zip(*rows, strict=True)
    widths = [len(set(column)) for column in columns]
    return metric.labels[widths.index(max(widths))] if widths else ""
