"""The hot path: bound cells for every series, within the bounds of the catalog.

A family maps the label values of a metric to what its series needs: the number of a cell for
counters and gauges, an object that observes for histograms. A lookup of a known series is one
dict access; the first use of new label values makes the series. Whoever counts one thing often
keeps the series and reads `writer.values` once for several additions.
"""

from bisect import bisect_left
from collections.abc import Callable
from math import ceil, isfinite, log2
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
from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk.store.writer import SCRATCH, Writer

Labels = tuple[str, ...]
S = TypeVar("S")
F = TypeVar("F", bound="Family[Any]")

MAX_LABEL_LENGTH = 120
LOWEST_BLOCK = -24
"""2**-24 s = 60 ns: what is shorter shares the lowest block, so that a series stays small."""
HIGHEST_BLOCK = 16
"""2**17 s = 36 h."""


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
        if cell == SCRATCH:
            self._recorder.dropped(self.metric.name, "")
        else:
            self[labels] = series
        return series

    def _bind(self, cell: int) -> S:
        raise NotImplementedError

    def _bounded(self, labels: Labels) -> Labels:
        """The labels to use instead: cut, and `<overflow>` where a bound is reached."""
        bounded = [_clean(value) for value in labels]
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
            self._add_again(cell, amount)
        except Exception:
            guard.failed("recorder.add")

    def _add_again(self, cell: int, amount: float) -> None:
        try:
            if self.writer.revive():
                self.writer.values[cell] += amount
        except Exception:
            guard.failed("recorder.add")


class Gauge(Counter):
    """The cells of a gauge."""

    __slots__ = ()

    def set(self, labels: Labels, value: float) -> None:
        """Set a series. Never raises."""
        try:
            cell = self[labels]
            self.writer.values[cell] = value
        except IndexError:
            self._set_again(cell, value)
        except Exception:
            guard.failed("recorder.set")

    def _set_again(self, cell: int, value: float) -> None:
        try:
            if self.writer.revive():
                self.writer.values[cell] = value
        except Exception:
            guard.failed("recorder.set")


class HistogramSeries:
    """One series of a histogram with classic buckets."""

    __slots__ = ("base", "bounds", "first", "writer")

    def __init__(self, writer: Writer, metric: Metric, cell: int) -> None:
        self.writer = writer
        self.bounds = metric.bounds
        self.base = cell
        self.first = cell + 1

    def observe(self, value: float) -> None:
        """Count one value. Never raises; NaN and infinities are dropped."""
        try:
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
    """One series of a histogram with classic and native buckets."""

    __slots__ = ("_invalid", "base", "blocks", "bounds", "first", "writer")

    def __init__(
        self, writer: Writer, metric: Metric, cell: int, invalid: Callable[[], None]
    ) -> None:
        self.writer = writer
        self.bounds = metric.bounds
        self.base = cell
        self.first = cell + 2
        self.blocks: dict[int, int] = {}
        self._invalid = invalid

    def observe(self, value: float) -> None:
        """Count one value. Never raises; NaN and infinities are dropped and counted."""
        try:
            values = self.writer.values
            bucket = self.first + bisect_left(self.bounds, value)
            index = ceil(log2(value) * 8.0)
            native = self.blocks[index >> 3] + (index & 7)
            values[bucket] += 1.0
            values[self.base] += value
            values[native] += 1.0
        except (IndexError, KeyError, ValueError, OverflowError, TypeError):
            self._observe_slowly(value)

    def _observe_slowly(self, value: float) -> None:
        """What the fast path cannot: a new block, zero, no segment, a value that is no number."""
        try:
            if not isfinite(value):
                self._invalid()
                return
            bucket = self.first + bisect_left(self.bounds, value)
            native = self.base + 1 if value <= 0 else self._native_cell(ceil(log2(value) * 8.0))
            if not self.writer.revive():
                return
            values = self.writer.values
            values[bucket] += 1.0
            values[self.base] += value
            values[native] += 1.0
        except Exception:
            guard.failed("recorder.observe")

    def _native_cell(self, index: int) -> int:
        if self.base == SCRATCH:
            return SCRATCH
        lowest = LOWEST_BLOCK * NATIVE_BUCKETS_PER_BLOCK
        highest = HIGHEST_BLOCK * NATIVE_BUCKETS_PER_BLOCK + NATIVE_BUCKETS_PER_BLOCK - 1
        index = min(max(index, lowest), highest)
        block = index >> 3
        cell = self.blocks.get(block)
        if cell is None:
            cell = self.writer.block(self.base, block)
            if cell == SCRATCH:
                return SCRATCH
            self.blocks[block] = cell
        return cell + (index & 7)


class Histogram(Family[Any]):
    """The series of a histogram; `NativeHistogramSeries` when the metric says so."""

    __slots__ = ()

    def _bind(self, cell: int) -> HistogramSeries | NativeHistogramSeries:
        if self.metric.native:
            return NativeHistogramSeries(self.writer, self.metric, cell, self._invalid)
        return HistogramSeries(self.writer, self.metric, cell)

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
        self._families: dict[str, Family[Any]] = {}
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

    def sample(self) -> None:
        """Write how many series each metric has; for the sampler."""
        gauge = self.gauge(SERIES)
        for name, family in list(self._families.items()):
            if family:
                gauge.set((name,), float(len(family)))

    def _family(self, kind: type[F], metric: Metric) -> F:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families.setdefault(metric.name, kind(self, metric))
        if not isinstance(family, kind):
            raise TypeError(f"{metric.name} is a {type(family).__name__}")
        return family


def _clean(value: str) -> str:
    """A label value that can be written: text, at most 120 characters, no lone surrogates."""
    text = value if isinstance(value, str) else str(value)
    if len(text) > MAX_LABEL_LENGTH:
        text = text[:MAX_LABEL_LENGTH]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text
