"""Finds the segments of a directory, keeps them open, and takes a snapshot of each."""

import errno
import math
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from perfsdk.store.description import MetricRecord
from perfsdk.store.format import FormatError
from perfsdk.store.reader import SegmentReader, SeriesRecord, find_segments

_WHAT_TO_DO = {
    errno.ELOOP: "is a symbolic link",
    errno.EACCES: "permission denied; run the exporter as the user or in the group that writes it",
    errno.EMFILE: "too many open files; raise the limit of open files (ulimit -n)",
}


@dataclass(slots=True)
class SeriesGroup:
    """The series of one metric of one segment.

    `rejected` counts those that no page could show: reserved label names, broken Unicode.
    """

    metric: MetricRecord
    series: list[SeriesRecord] = field(default_factory=list)
    rejected: int = 0


class SegmentSnapshot(NamedTuple):
    """What one process has recorded, until the next call of `Segments.read`.

    `started` in seconds since the epoch; `values` are all cells that belong to a series;
    `skipped_records` are descriptions whose checksum does not hold; `described` grows with
    everything that is described; `reread(cell, count)` takes these cells of `values` again.
    """

    path: Path
    identity: bytes
    started: float
    live: bool
    groups: Sequence[SeriesGroup]
    values: "array[float]"
    skipped_records: int = 0
    described: int = 0
    reread: Callable[[int, int], None] = lambda _cell, _count: None
    archive: bool = False


class Unreadable(NamedTuple):
    """A file that is named like a segment and cannot be used, and why."""

    path: Path
    reason: str


class Segments:
    """The segments of a directory, open between two readings. Not safe for threads.

    Descriptions are parsed once; files that went away are closed.
    """

    def __init__(self) -> None:
        self._open: dict[Path, _OpenSegment] = {}

    def read(self, directory: Path) -> tuple[list[SegmentSnapshot], list[Unreadable]]:
        """A snapshot of every segment, and the files that are none.

        Raises:
            OSError: the directory exists and cannot be listed.
        """
        paths = find_segments(directory)
        for path in self._open.keys() - set(paths):
            self._drop(path)
        snapshots: dict[bytes, SegmentSnapshot] = {}
        unreadable = []
        for path in paths:
            try:
                snapshot = self._snapshot(path)
            except FileNotFoundError:
                self._drop(path)  # gone since the directory was listed: that is normal
                continue
            except (FormatError, OSError) as error:
                # A reader that failed half way may hold half of the descriptions.
                self._drop(path)
                unreadable.append(Unreadable(path, _reason(error)))
                continue
            known = snapshots.setdefault(snapshot.identity, snapshot)
            if known is not snapshot:
                # A copy or a hard link; counting it would double the process.
                unreadable.append(Unreadable(path, f"is a copy of {known.path.name}"))
        return list(snapshots.values()), unreadable

    def close(self) -> None:
        """Close all files."""
        for path in list(self._open):
            self._drop(path)

    def _snapshot(self, path: Path) -> SegmentSnapshot:
        segment = self._open.get(path)
        if segment is not None and segment.reader.inode != os.lstat(path).st_ino:
            self._drop(path)
            segment = None
        if segment is None:
            segment = self._open[path] = _OpenSegment(SegmentReader(path))
        return segment.snapshot()

    def _drop(self, path: Path) -> None:
        segment = self._open.pop(path, None)
        if segment is not None:
            segment.reader.close()


@dataclass(slots=True)
class _OpenSegment:
    reader: SegmentReader
    _groups: dict[int, SeriesGroup] = field(default_factory=dict)
    _grouped: int = 0

    def snapshot(self) -> SegmentSnapshot:
        # Liveness first: what is read after the writer died is final.
        live = self.reader.is_live()
        self.reader.refresh()
        for series in self._new_series():
            # The group keeps the record alive, so the id stays its own.
            group = self._groups.setdefault(id(series.metric), SeriesGroup(series.metric))
            if _is_presentable(series):
                group.series.append(series)
            else:
                group.rejected += 1
        header = self.reader.header
        return SegmentSnapshot(
            path=self.reader.path,
            identity=header.identity,
            started=header.started if math.isfinite(header.started) else 0.0,
            live=live,
            groups=tuple(self._groups.values()),
            values=self.reader.values,
            skipped_records=self.reader.unreadable_records,
            described=self.reader.records_taken,
            reread=self.reader.reread,
        )

    def _new_series(self) -> Iterator[SeriesRecord]:
        series = self.reader.series
        start, self._grouped = self._grouped, len(series)
        return (series[index] for index in range(start, self._grouped))


def _is_presentable(series: SeriesRecord) -> bool:
    metric = series.metric
    if any(label.startswith("__") for label in metric.labels):
        return False
    if metric.kind == "histogram" and "le" in metric.labels:
        return False
    try:
        "".join(series.labels).encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return _WHAT_TO_DO.get(error.errno or 0, error.strerror or str(error))
    return str(error)
