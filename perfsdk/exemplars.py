"""A few observations keep their trace: the newest of each range of values, so slow ones too."""

import functools
from bisect import bisect_left
from collections.abc import Callable
from math import isfinite
from time import time
from typing import Any, Protocol

from perfsdk import guard
from perfsdk.store.additions import Known
from perfsdk.store.exemplars import write_exemplar
from perfsdk.store.writer import SCRATCH, Writer

RANGES = 3
"""Ranges of values of one series, each a group of its classic buckets with a pair of slots of
112 bytes. A fast observation never replaces a slow one, because they are in other ranges."""

WINDOW_SECONDS = 0.1
"""For so long an exemplar is replaced by a slower one only: what is shown is fresh, and most
observations cost a comparison."""


class Span(Protocol):
    """What is asked of a span, whoever started it; OpenTelemetry's has it."""

    def get_span_context(self) -> Any: ...


class Spans:
    """Tells the current span; `current` is None as long as nobody traces in this process."""

    __slots__ = ("__weakref__", "current")

    def __init__(self) -> None:
        self.current: Callable[[], Span | None] | None = None


NO_SPANS = Spans()
"""For series that look for no span themselves; never changed."""


class Exemplars:
    """The exemplars of one series; it has cells for them when the first is kept.

    `base` is the first cell of the series, `bounds` are those of its classic buckets. Any thread
    may offer.
    """

    __slots__ = ("_base", "_cells", "_edges", "_ranges", "_writer")

    def __init__(self, writer: Writer, base: int, bounds: tuple[float, ...]) -> None:
        self._writer = writer
        self._base = base
        self._edges = range_edges(bounds)
        self._ranges: dict[int, _Range] = {}
        self._cells: Known = {}

    def offer(self, value: float, span: Span) -> None:
        """Perhaps keep an observed value with its span, if that is sampled. Never raises."""
        try:
            number = bisect_left(self._edges, value)
            kept = self._ranges.get(number, _NOTHING)
            now = time()
            in_window = 0.0 <= now - kept.since < WINDOW_SECONDS  # the clock may be set back
            if in_window and value <= kept.highest:
                return
            context = span.get_span_context()
            if not context.trace_flags & 1 or not context.is_valid or not isfinite(value):
                return
            if kept is _NOTHING:
                kept = self._ranges.setdefault(number, _Range())
            if not in_window:
                kept.since = now
            kept.highest = value
            kept.sequence += 1
            self._write(number, kept.sequence, context, value, now)
        except Exception:
            guard.failed("exemplars.offer")

    def _write(self, number: int, sequence: int, context: Any, value: float, now: float) -> None:
        if self._base == SCRATCH:
            return
        cell = self._cells.get(number)
        if cell is None:
            cell = self._writer.exemplar(self._base, number, self._cells)
        values = self._writer.values
        if cell != SCRATCH and values:  # there is room, and it was not closed meanwhile
            trace_id, span_id = context.trace_id, context.span_id
            write_exemplar(values, cell, sequence, trace_id, span_id, value, now)


class _Range:
    """Since when its window lasts (seconds since the epoch), and the highest value in there."""

    __slots__ = ("highest", "sequence", "since")

    def __init__(self) -> None:
        self.since = self.highest = 0.0
        self.sequence = 0


_NOTHING = _Range()


@functools.cache
def range_edges(bounds: tuple[float, ...]) -> tuple[float, ...]:
    """The bounds that part the ranges; of 14 the fifth and the tenth."""
    return tuple(bounds[len(bounds) * number // RANGES] for number in range(1, RANGES))
