"""Finds the archive and the segments of a directory and takes snapshots of the same moment."""

import errno
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

from perfsdk.store.description import MetricRecord
from perfsdk.store.format import FormatError
from perfsdk.store.reader import SegmentReader, find_segments
from perfsdk.store.series import SeriesRecord
from perfsdk_exporter.reaping.archive_reader import ARCHIVE, CurrentArchive
from perfsdk_exporter.segments.cells import Mask, Numbers, Reals
from perfsdk_exporter.segments.kept_cells import KeptCells
from perfsdk_exporter.segments.segment_files import segment_name

_WHAT_TO_DO = {
    errno.ELOOP: "is a symbolic link",
    errno.EACCES: "permission denied; run the exporter as the user or in the group that writes it",
    errno.EMFILE: "too many open files; raise the limit of open files (ulimit -n)",
}

_READINGS = 20
"""How often everything is read again because the archive was replaced meanwhile."""


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
    `changed(cells, count)` tells in which of the places from each of `cells` on, `count` long,
    something changed since the last call of `Segments.settle`; None: it is not known.
    `archive`: the totals of all processes that were reaped; each series has two more cells, see
    `perfsdk_exporter.reaping.archive`.
    """

    path: Path
    identity: bytes
    started: float
    live: bool
    groups: Sequence[SeriesGroup]
    values: Reals
    skipped_records: int = 0
    described: int = 0
    reread: Callable[[int, int], None] = lambda _cell, _count: None
    changed: Callable[[Numbers, int], Mask] | None = None
    archive: bool = False


class Unreadable(NamedTuple):
    """A file that is named like a segment and cannot be used, and why."""

    path: Path
    reason: str


class Segments:
    """The archive and the segments of a directory, open between two readings.

    Descriptions are parsed once; files that went away are closed. Not safe for threads.
    """

    def __init__(self) -> None:
        self._open: dict[Path, _OpenSegment] = {}
        self._archive = CurrentArchive()
        self._archived: _OpenSegment | None = None

    def read(self, directory: Path) -> tuple[list[SegmentSnapshot], list[Unreadable]]:
        """A snapshot of the archive and of every segment, and the files that are none.

        A segment is left out when it is in the archive. Whoever reaps replaces the archive
        before it removes a file: so with the archive still the same after the segments were
        read, nothing is missing and nothing is there twice.

        Raises:
            OSError: the directory exists and cannot be listed.
        """
        for _ in range(_READINGS):
            unreadable: list[Unreadable] = []
            snapshots = self._read_archive(directory / ARCHIVE, unreadable)
            snapshots += self._read_segments(directory, self._archive.folded, unreadable)
            if self._archive.is_current(directory / ARCHIVE):
                return snapshots, unreadable
        raise OSError(errno.EAGAIN, "other exporters replace the archive faster than it is read")

    def _read_archive(self, path: Path, unreadable: list[Unreadable]) -> list[SegmentSnapshot]:
        try:
            self._archive.refresh(path)
            reader, known = self._archive.reader, self._archived
            if reader is None:
                self._archived = None
                return []
            if known is None or known.reader.series is not reader.series:
                known = self._archived = _OpenSegment(reader)
            known.reader = reader  # the groups stay: most archives describe what the last one did
            snapshot = known.snapshot()
        except (FormatError, OSError) as error:
            self._archive.close()
            unreadable.append(Unreadable(path, _reason(error)))
            return []
        size = reader.facts["descriptions_size"]
        return [snapshot._replace(live=False, started=0.0, archive=True, described=size)]

    def _read_segments(
        self, directory: Path, folded: set[bytes], unreadable: list[Unreadable]
    ) -> list[SegmentSnapshot]:
        names = {segment_name(identity) for identity in folded}
        paths = [path for path in find_segments(directory) if path.name not in names]
        for path in self._open.keys() - set(paths):
            self._drop(path)
        found = [self._snapshot_of(path, unreadable) for path in paths]
        return _without_copies(filter(None, found), folded, unreadable)

    def _snapshot_of(self, path: Path, unreadable: list[Unreadable]) -> SegmentSnapshot | None:
        try:
            return self._snapshot(path)
        except FileNotFoundError:
            self._drop(path)  # gone since the directory was listed: that is normal
        except (FormatError, OSError) as error:
            # A reader that failed half way may hold half of the descriptions.
            self._drop(path)
            unreadable.append(Unreadable(path, _reason(error)))
        return None

    def settle(self) -> None:
        """What was read has been added up: from now on other changes count."""
        for segment in self._open.values():
            segment.cells.settle()
        if self._archived is not None:
            self._archived.cells.settle()

    def close(self) -> None:
        """Close all files."""
        self._archive.close()
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
    cells: KeptCells = field(default_factory=KeptCells)
    _groups: dict[int, SeriesGroup] = field(default_factory=dict)
    _grouped: int = 0

    def snapshot(self) -> SegmentSnapshot:
        # Liveness first: what is read after the writer died is final.
        live = self.reader.is_live()
        self.reader.read_descriptions()
        self.cells.refresh(self.reader)
        for series in self._new_series():
            # The group keeps the record alive, so the id stays its own.
            group = self._groups.setdefault(id(series.metric), SeriesGroup(series.metric))
            if is_presentable(series):
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
            values=self.cells.values,
            skipped_records=self.reader.unreadable_records,
            described=self.reader.records_taken,
            reread=partial(self.cells.reread, self.reader),
            changed=self.cells.changed,
        )

    def _new_series(self) -> Iterator[SeriesRecord]:
        series = self.reader.series
        start, self._grouped = self._grouped, len(series)
        return (series[index] for index in range(start, self._grouped))


def _without_copies(
    found: Iterable[SegmentSnapshot], folded: set[bytes], unreadable: list[Unreadable]
) -> list[SegmentSnapshot]:
    """Leave out copies and hard links, also of what was reaped: they would count twice."""
    snapshots: dict[bytes, SegmentSnapshot] = {}
    for snapshot in sorted(found, key=lambda s: s.path.name != segment_name(s.identity)):
        identity = snapshot.identity
        if identity in folded or snapshots.setdefault(identity, snapshot) is not snapshot:
            original = snapshots[identity].path.name if identity in snapshots else ARCHIVE
            unreadable.append(Unreadable(snapshot.path, f"is a copy of what is in {original}"))
    return list(snapshots.values())


def is_presentable(series: SeriesRecord) -> bool:
    """Whether a page can show its labels."""
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
