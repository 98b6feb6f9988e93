"""One collection: from the directory to the families of the pages, and what was found there."""

import errno
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from perfsdk.store.directory import DirectoryError
from perfsdk_exporter.families import Family
from perfsdk_exporter.formats.exposition import without_clashes
from perfsdk_exporter.location import Location
from perfsdk_exporter.multiproc.reading import MultiprocFiles
from perfsdk_exporter.reaping.reaper import Tally
from perfsdk_exporter.segments.aggregation import Aggregator
from perfsdk_exporter.segments.descriptions import LeftOut, Reason
from perfsdk_exporter.segments.discovery import Segments, SegmentSnapshot, Unreadable
from perfsdk_exporter.telemetry import Telemetry

_log = logging.getLogger(__name__)

_NOTHING_YET = "no service has written yet"
_NO_DIRECTORY = "the directory does not exist yet; the first process that records makes it"

_WHAT_TO_DO = {errno.EAGAIN: "run fewer exporters on one directory"}

_WHY_LEFT_OUT = {
    "conflict": "a newer process describes this metric in another way; restart the older ones",
    "invalid": "a value, a label or a description that no process writes",
    "unsupported": "a newer SDK wrote this metric; update the exporter",
    "clash": "another metric has a sample of this name; rename one",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """The families of a page, our own among them, and where they come from.

    `queries` are those of the table of queries, which is a page of its own. `explanation` says in
    one line why nothing was read; empty when something was. `segments` counts the files that are
    `live`, `dead` and `unreadable`.
    """

    families: Sequence[Family]
    directory: Path | None
    explanation: str
    segments: dict[str, int]
    queries: Sequence[Family] = ()


class Collector:
    """Reads all segments whenever it is asked; one collection at a time, from any thread.

    `files` are those of prometheus_client's multi-process mode, shown beside them; `tally` is
    what a reaper of the directory has done, for the metrics about ourselves.
    """

    def __init__(
        self,
        location: Location,
        *,
        files: MultiprocFiles | None = None,
        tally: Tally | None = None,
    ) -> None:
        self._location = location
        self._files = files
        self._tally = tally
        self._segments = Segments()
        self._aggregator = Aggregator()
        self._telemetry = Telemetry()
        self._lock = threading.Lock()
        self._said: set[tuple[str, str]] = set()

    def collect(self) -> Collection:
        """Read, add up, and say once in the log what cannot be shown."""
        with self._lock:
            start = time.perf_counter()
            directory, explanation = self._locate()
            snapshots: list[SegmentSnapshot] = []
            unreadable: list[Unreadable] = []
            if directory is not None:
                try:
                    snapshots, unreadable = self._segments.read(directory)
                except OSError as error:
                    what_to_do = _WHAT_TO_DO.get(error.errno or 0, "give a directory we may list")
                    explanation = f"{directory}: {error.strerror}; {what_to_do}"
            families, left_out = self._aggregator.aggregate(snapshots, now=time.perf_counter())
            shown, clashing = without_clashes(_of_page("metrics", families))
            if self._files is not None:
                others, unusable = self._files.read()
                unreadable += unusable
                shown, more = without_clashes(others, beside=shown)
                clashing += more
            left_out += [LeftOut(None, f.name, "clash", f.series_count) for f in clashing]
            self._segments.settle()
            segments = _states(snapshots, unreadable, left_out)
            snapshots.clear()
            self._log_news(explanation, unreadable, left_out)
            self._telemetry.update(
                seconds=time.perf_counter() - start,
                segments=segments,
                series=sum(family.series_count for family in shown),
                left_out=_by_reason(found for found in left_out if found.page != "queries"),
                tally=self._tally,
            )
            return Collection(
                families=[*shown, *self._telemetry.families()],
                directory=directory,
                explanation=explanation,
                segments=segments,
                queries=_of_page("queries", families),
            )

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            self._segments.close()

    def directory(self) -> Path | None:
        """Where the segments are; None while that is not known, or not to be used."""
        with self._lock:
            return self._locate()[0]

    def _locate(self) -> tuple[Path | None, str]:
        try:
            directory = self._location.resolve()
        except DirectoryError as error:
            return None, str(error)
        if directory is None:
            return None, _NOTHING_YET
        return directory, "" if os.path.isdir(directory) else _NO_DIRECTORY

    def _log_news(
        self, explanation: str, unreadable: Iterable[Unreadable], left_out: Iterable[LeftOut]
    ) -> None:
        """Log what was not so at the last collection; a file is named once for each reason."""
        now: dict[tuple[str, str], tuple[str, dict[str, object]]] = {}
        if explanation:
            now["", explanation] = (explanation, {})
        for file, reason in unreadable:
            now[str(file), reason] = ("file skipped", {"file": str(file), "reason": reason})
        for path, metric, reason, series, _ in left_out:
            fields = {"metric": metric, "series": series, "reason": _WHY_LEFT_OUT[reason]}
            if path is not None:
                fields = {"file": str(path), **fields}
            now[str(path), f"{metric} {reason}"] = ("series left out", fields)
        for key in now.keys() - self._said:
            message, fields = now[key]
            quiet = message in (_NOTHING_YET, _NO_DIRECTORY)
            _log.log(logging.INFO if quiet else logging.WARNING, message, extra={"fields": fields})
        self._said = set(now)


def _of_page(page: str, families: Iterable[Family]) -> list[Family]:
    return [family for family in families if family.page == page]


def _states(
    snapshots: Iterable[SegmentSnapshot],
    unreadable: Sequence[Unreadable],
    left_out: Iterable[LeftOut],
) -> dict[str, int]:
    """Files by state; a segment with an invalid series counts as unreadable."""
    spoiled = {found.path for found in left_out if found.reason == "invalid"}
    intact = [s for s in snapshots if s.path not in spoiled and not s.archive]
    live = sum(snapshot.live for snapshot in intact)
    return {
        "live": live,
        "dead": len(intact) - live,
        "unreadable": len(unreadable) + len(spoiled),
    }


def _by_reason(left_out: Iterable[LeftOut]) -> Counter[Reason]:
    counts: Counter[Reason] = Counter()
    for found in left_out:
        counts[found.reason] += found.series
    return counts
