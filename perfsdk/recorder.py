"""The hot path: bound cells for every series, within the bounds of the catalog.

A family maps label values to what their series needs: the number of a cell for counters and
gauges, an object that observes for histograms. The first use of label values makes the series;
who counts one thing often keeps it and reads `writer.values` once for several additions.
"""

import functools
from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import isfinite
from time import time
from typing import Any, Generic, TypeVar

from perfsdk import guard
from perfsdk.catalog import (
    DROPPED_SERIES,
    INTERNAL_ERRORS,
    LABEL_BOUNDS,
    OVERFLOW,
    SERIES,
    Metric,
)
from perfsdk.exemplars import NO_SPANS, Exemplars, Spans
from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk.store.writer import SCRATCH, Writer

Labels = tuple[str, ...]
S = TypeVar("S")
F = TypeVar("F", bound="Family[Any]")

MAX_LABEL_LENGTH = 120
LOWEST_INDEX = -24 * NATIVE_BUCKETS_PER_BLOCK
"""2**-24 s = 60 ns: what is shorter shares the lowest bucket, so that a series stays small."""
HIGHEST_INDEX = 17 * NATIVE_BUCKETS_PER_BLOCK  # 2**17 s = 36 h
NATIVE_EDGES = tuple(2.0 ** (index / 8) for index in range(LOWEST_INDEX, HIGHEST_INDEX + 1))


class Family(dict[Labels, S], Generic[S]):
    """All series of one metric in this process, by their label values.

    Looking up unknown label values makes the series. Past a bound they lead to the overflow
    series, which is not remembered for them: what came in last must not cost memory for ever.
    """

    __slots__ = ("_grown", "_recorder", "_seen", "metric", "writer")

    def __init__(self, recorder: "Recorder", metric: Metric) -> None:
        super().__init__()
        self.metric = metric
        self.writer = recorder.writer
        self._recorder = recorder
        self._grown = ""
        self._seen: dict[str, set[str]] = {
            label: set() for label in metric.labels if label in LABEL_BOUNDS
        }

    def __missing__(self, labels: Labels) -> S:
        bounded = self._bounded(labels)
        if bounded != labels:
            return self[bounded]
        cell = self.writer.series(
            self.metric, labels, for_self=self.metric.name.startswith("perfsdk_")
        )
        series = self._bind(cell)
        if cell != SCRATCH:
            # Of threads that made it at once all use the first; the cells of the others stay 0.
            return self.setdefault(labels, series)
        if self.writer.segment is not None:  # else it is closed
            self._recorder.dropped(self.metric.name, "")
        return series

    def _bind(self, cell: int) -> S:
        raise NotImplementedError

    def _bounded(self, labels: Labels) -> Labels:
        """The labels to use instead: cut, and `<overflow>` where a bound is reached."""
        length = self.metric.label_length
        bounded = [_clean(value, length) for value in labels]
        for index, label in enumerate(self.metric.labels):
            seen = self._seen.get(label)
            value = bounded[index]
            if seen is None or value in seen or value == OVERFLOW:
                continue
            if len(seen) >= LABEL_BOUNDS[label]:
                bounded[index] = OVERFLOW
                self._recorder.dropped(self.metric.name, label)
            else:
                seen.add(value)
        result = tuple(bounded)
        if len(self) >= self.metric.max_series and result not in self:
            overflow = (OVERFLOW,) * len(labels)
            if result != overflow:
                self._recorder.dropped(self.metric.name, self._widest_label())
            return overflow
        return result

    def _widest_label(self) -> str:
        """The label with the most values: the one that grew."""
        if not self._grown and self.metric.labels:
            values = [len(set(column)) for column in zip(*list(self), strict=True)]
            self._grown = self.metric.labels[values.index(max(values))]
        return self._grown


class Counter(Family[int]):
    """The cells of a counter."""

    __slots__ = ()

    def _bind(self, cell: int) -> int:
        return cell

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """Add to a series. Never raises."""
        try:
            cell = self[labels]
            self.writer.values[cell] += amount
        except IndexError:
            self._add_again(labels, amount)
        except Exception:
            guard.failed("recorder.add")

    def _add_again(self, labels: Labels, amount: float) -> None:
        try:
            if self.writer.revive():
                cell = self[labels]
                self.writer.values[cell] += amount
        except Exception:
            guard.failed("recorder.add")


class Gauge(Counter):
    """The cells of a gauge. Of one merged as `newest` only `set` notes the time."""

    __slots__ = ()

    def set(self, labels: Labels, value: float) -> None:
        """Set a series. Never raises."""
        try:
            self._store(labels, value)
        except (IndexError, TypeError):  # nothing can be stored: not open yet, or forked
            self._set_again(labels, value)
        except Exception:
            guard.failed("recorder.set")

    def _store(self, labels: Labels, value: float) -> None:
        cell = self[labels]
        self.writer.values[cell] = value
        if self.metric.merge == "newest":
            self.writer.values[cell + 1] = time()  # later: the value before must not pass for it

    def _set_again(self, labels: Labels, value: float) -> None:
        try:
            if self.writer.revive():
                self._store(labels, value)
        except Exception:
            guard.failed("recorder.set")


class HistogramSeries:
    """One series of a histogram with classic buckets."""

    __slots__ = ("_invalid", "base", "bounds", "first", "writer")

    def __init__(
        self, writer: Writer, metric: Metric, cell: int, invalid: Callable[[], None]
    ) -> None:
        self.writer = writer
        self.bounds = metric.bounds
        self.base = cell
        self.first = cell + 1
        self._invalid = invalid

    def observe(self, value: float) -> None:
        """Count one value. Never raises; NaN and infinities are dropped and counted."""
        try:
            if not isfinite(value):
                self._invalid()
                return
            values = self.writer.values
            bucket = self.first + bisect_left(self.bounds, value)
            values[bucket] += 1.0
            values[self.base] += value
        except IndexError:
            self._observe_again(bucket, value)
        except Exception:
            guard.failed("recorder.observe")

    def _observe_again(self, bucket: int, value: float) -> None:
        try:
            if self.writer.revive():
                values = self.writer.values
                values[bucket] += 1.0
                values[self.base] += value
        except Exception:
            guard.failed("recorder.observe")


class NativeHistogramSeries:
    """One series of a histogram with classic and native buckets.

    `edges` are the bounds of both kinds in one sequence, so that one bisection finds the two
    buckets; `cells` remembers them by its result. What is not remembered takes the slow path:
    the first value in a bucket, values beyond the edges, and what is no finite number.
    """

    __slots__ = (
        "_invalid",
        "base",
        "blocks",
        "bounds",
        "cells",
        "edges",
        "exemplars",
        "spans",
        "writer",
    )

    def __init__(
        self, writer: Writer, metric: Metric, cell: int, invalid: Callable[[], None], spans: Spans
    ) -> None:
        self.writer = writer
        self.spans = spans if metric.exemplars == "current span" else NO_SPANS
        self.exemplars = Exemplars(writer, cell, metric.bounds)
        self.bounds = metric.bounds
        self.edges = merged_edges(metric.bounds)
        self.base = cell
        self.cells: dict[int, tuple[int, int]] = {}
        self.blocks: dict[int, int] = {}
        self._invalid = invalid

    def observe(self, value: float) -> None:
        """Count one value. Never raises; NaN and infinities are dropped and counted."""
        try:
            bucket, native = self.cells[bisect_left(self.edges, value)]
            values = self.writer.values
            values[bucket] += 1.0
            values[self.base] += value
            values[native] += 1.0
        except (IndexError, KeyError, TypeError):
            self._observe_slowly(value)
        current = self.spans.current
        if current is not None and (span := current()) is not None:
            self.exemplars.offer(value, span)

    def _observe_slowly(self, value: float) -> None:
        try:
            if not isfinite(value):
                self._invalid()
                return
            bucket = self.base + 2 + bisect_left(self.bounds, value)
            native = self._native_cell(value)
            edge = bisect_left(self.edges, value)
            # Below the first edge are NaN and zero too, above the last one infinity.
            if 0 < edge < len(self.edges) and native != SCRATCH:
                self.cells[edge] = bucket, native
            if not self.writer.revive():
                return
            values = self.writer.values
            values[bucket] += 1.0
            values[self.base] += value
            values[native] += 1.0
        except Exception:
            guard.failed("recorder.observe")

    def _native_cell(self, value: float) -> int:
        if value <= 0:
            return self.base + 1
        if self.base == SCRATCH:
            return SCRATCH
        # From the edges, not from the logarithm: its rounding could put the first value of a
        # bucket, and with it all later ones, into the next.
        index = min(LOWEST_INDEX + bisect_left(NATIVE_EDGES, value), HIGHEST_INDEX)
        block = index >> 3
        cell = self.blocks.get(block)
        if cell is None:
            cell = self.writer.block(self.base, block, self.blocks)
            if cell == SCRATCH:
                return SCRATCH
        return cell + (index & 7)


@functools.cache
def merged_edges(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """Classic bounds and those of the native buckets from 60 ns to 36 h, ascending."""
    return tuple(sorted({*NATIVE_EDGES, *bounds}))


class Histogram(Family[Any]):
    """The series of a histogram; `NativeHistogramSeries` when the metric says so."""

    __slots__ = ()

    def _bind(self, cell: int) -> HistogramSeries | NativeHistogramSeries:
        if self.metric.native:
            spans = self._recorder.spans
            return NativeHistogramSeries(self.writer, self.metric, cell, self._invalid, spans)
        return HistogramSeries(self.writer, self.metric, cell, self._invalid)

    def nowhere(self) -> Any:
        """A series whose values are shown nowhere."""
        return self._bind(SCRATCH)

    def _invalid(self) -> None:
        self._recorder.count_error("recorder.not_finite")

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value in a series. Never raises."""
        try:
            self[labels].observe(value)
        except Exception:
            guard.failed("recorder.observe")


class Recorder:
    """Families over one writer, each made once.

    Threads: any may record; lookups and additions take no lock on builds with a GIL.
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.spans = Spans()
        self.slow_query_seconds = 0.5
        """What takes as long is the finding `slow`."""
        self.cache_names: Mapping[str, str] = {}
        """The setting of that name."""
        self._families: dict[str, Family[Any]] = {}
        self._samples: list[Callable[[], None]] = []
        self._errors = self.counter(INTERNAL_ERRORS)
        self._dropped = self.counter(DROPPED_SERIES)

    def counter(self, metric: Metric) -> Counter:
        """The family of a counter, made on first use."""
        return self._family(Counter, metric)

    def gauge(self, metric: Metric) -> Gauge:
        """The family of a gauge, made on first use."""
        return self._family(Gauge, metric)

    def histogram(self, metric: Metric) -> Histogram:
        """The family of a histogram, made on first use."""
        return self._family(Histogram, metric)

    def count_error(self, where: str) -> None:
        """Count an error of ours that was kept from the application."""
        self._errors.add((where,))

    def dropped(self, metric: str, label: str) -> None:
        """Count a value that found no series of its own, and say so once."""
        if metric == DROPPED_SERIES.name:
            return
        self._dropped.add((metric, label))
        if label:
            guard.log_once(
                f"{metric} {label}",
                "perfsdk: %s has reached its bound because of the values of label %s; further "
                "values are counted under %s",
                metric,
                label,
                OVERFLOW,
            )
        else:
            guard.log_once(
                "no room",
                "perfsdk: no room for new series (%s); give more space to the directory or "
                "raise PERFSDK_SEGMENT_SIZE_BYTES",
                metric,
            )

    def on_sample(self, sample: Callable[[], None]) -> Callable[[], None]:
        """Have `sample` called at every `sample`, until what this returns is called."""
        self._samples.append(sample)
        return lambda: self._samples.remove(sample)

    def sample(self) -> None:
        """Write what must be read rather than observed, and how many series each metric has."""
        for sample in list(self._samples):
            try:
                sample()
            except Exception:  # noqa: PERF203 - one that fails must not keep the others
                guard.failed("recorder.sample")
        gauge = self.gauge(SERIES)
        for name, family in list(self._families.items()):
            if family and family.metric.page == "metrics":
                gauge.set((name,), float(len(family)))

    def _family(self, kind: type[F], metric: Metric) -> F:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families.setdefault(metric.name, kind(self, metric))
        if not isinstance(family, kind):
            raise TypeError(f"{metric.name} is a {type(family).__name__}")
        return family


running: Recorder | None = None
"""That of the instrumentation that runs, for what has no other way to it."""


def _clean(value: str, length: int) -> str:
    """A label value that can be written: text, at most `length` characters, no lone surrogates."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > length:
        text = text[:length]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text
