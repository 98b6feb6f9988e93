"""Lets go of series of the archive that nobody has and nobody added to for a set time."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from perfsdk.store.format import FormatError
from perfsdk_exporter.reaping.folding import SeriesKey, Totals, drop, old_series, series_key
from perfsdk_exporter.segments.segment_files import readers

INTERVAL_SECONDS = 300.0
"""How often the archive is looked through."""

JUMP_SECONDS = 60.0
"""By so much a clock that is set leaves the one that is not."""


class Compaction:
    """Decides when and what to drop.

    A clock that is set drops nothing: whether 24 hours went by or somebody corrected the time
    cannot be told then, so every series gets its whole time again.
    """

    def __init__(
        self,
        retention_seconds: float,
        clock: Callable[[], float],
        steady_clock: Callable[[], float],
    ) -> None:
        self._retention_seconds = retention_seconds
        self._clock = clock
        self._steady_clock = steady_clock
        self._next = steady_clock()
        self._not_before = self._next
        self._difference = clock() - steady_clock()

    def watch_clocks(self) -> None:
        """Notice that the clock was set; call it often."""
        difference = self._clock() - self._steady_clock()
        if abs(difference - self._difference) > JUMP_SECONDS:
            self._not_before = self._steady_clock() + self._retention_seconds
        self._difference = difference

    def is_due(self) -> bool:
        return self._steady_clock() >= self._next

    def done(self) -> None:
        """A pass was made; the next look is not before some minutes from now."""
        if self.is_due():
            self._next = self._steady_clock() + INTERVAL_SECONDS

    def compact(self, directory: Path, totals: Totals, now: float) -> int:
        """Drop from `totals` what is old and in no segment of the directory; how many series."""
        old = {
            (metric, labels): series_key(metric, labels)
            for metric, labels in old_series(totals, now, self._retention_seconds)
        }
        if not old or self._steady_clock() < self._not_before:
            return 0
        held = set(_held(directory, set(old.values())))
        gone = [series for series, key in old.items() if key not in held]
        drop(totals, gone)
        return len(gone)


def _held(directory: Path, wanted: set[SeriesKey]) -> Iterator[SeriesKey]:
    """Those of the series that a segment describes, whoever wrote it."""
    names = {name for name, _ in wanted}
    for reader in readers(directory):
        with suppress(FormatError, OSError):
            reader.refresh()
        for series in reader.series:
            if series.metric.name in names:
                yield series_key(series.metric, series.labels)
