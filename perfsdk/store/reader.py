"""The sidecar's view: parses a segment's descriptions once and takes snapshots of its values."""

import fcntl
import math
import os
import stat
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfsdk.store.directory import is_trusted
from perfsdk.store.format import (
    CELL,
    CELLS_END_OFFSET,
    RECORD_HEADER,
    SUFFIX,
    FormatError,
    Header,
    record_size,
    unpack_header,
    unpack_record,
)

MAX_FILE_SIZE_BYTES = 1 << 30
MAX_BOUNDS = 1000
KINDS = ("counter", "gauge", "histogram")


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """A metric as its segment describes it; `bounds` without `+Inf`."""

    name: str
    kind: str
    unit: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    merge: str
    native: bool

    @property
    def cell_count(self) -> int:
        if self.kind == "histogram":
            return len(self.bounds) + 2 + self.native
        return 2 if self.merge == "newest" else 1


@dataclass(slots=True)
class SeriesRecord:
    """One series: `cell` is the first of its cells, `blocks` maps a native block to its first."""

    metric: MetricRecord
    labels: tuple[str, ...]
    cell: int
    blocks: dict[int, int] = field(default_factory=dict)


class SegmentReader:
    """One segment file, open for reading.

    `refresh` reads what was described since the last time and a copy of all cells. It uses
    `pread`, so a file that shrinks gives an error, not a signal. Not safe for threads.
    """

    def __init__(self, path: Path) -> None:
        """Open and check the file.

        Raises:
            FormatError: it is not a segment of this version, or not to be trusted.
            OSError: it cannot be opened (FileNotFoundError: it is gone).
        """
        self.path = path
        self.facts: dict[str, Any] = {}
        self.series: list[SeriesRecord] = []
        self.values: array[float] = array("d")
        self.unreadable_records = 0
        self._metrics: dict[int, MetricRecord] = {}
        self._by_cell: dict[int, SeriesRecord] = {}
        self._records_read = 0
        # O_NONBLOCK: opening a FIFO must not wait for its other end.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(self._fd)
            if not stat.S_ISREG(status.st_mode):
                raise FormatError("not a regular file")
            if not is_trusted(status, directory=path.parent.stat()):
                raise FormatError(f"belongs to another user ({status.st_uid})")
            if status.st_size > MAX_FILE_SIZE_BYTES:
                raise FormatError(f"{status.st_size} bytes are more than a segment can have")
            self.inode = status.st_ino
            self.header: Header = unpack_header(os.pread(self._fd, 128, 0))
            if self.header.file_size > status.st_size:
                raise FormatError("truncated")
        except BaseException:
            self.close()
            raise

    def refresh(self) -> None:
        """Read new descriptions into `series` and a snapshot of all cells into `values`.

        Raises:
            FormatError: the content contradicts itself or the file shrank.
        """
        words = os.pread(self._fd, 16, CELLS_END_OFFSET)
        if len(words) < 16:
            raise FormatError("truncated")
        records_end = int.from_bytes(words[8:], "little")
        if records_end > self.header.records_size:
            raise FormatError("more records than there is room for")
        if records_end > self._records_read:
            self._read_records(records_end)
        # Only now: a series that was just read has its cells below this end.
        words = os.pread(self._fd, 8, CELLS_END_OFFSET)
        cells_end = int.from_bytes(words, "little")
        if cells_end * CELL > self.header.values_size:
            raise FormatError("more cells than there is room for")
        data = os.pread(self._fd, cells_end * CELL, self.header.page)
        if len(data) < cells_end * CELL:
            raise FormatError("truncated")
        self.values = array("d", data)

    def is_live(self) -> bool:
        """Whether the process that writes this segment exists: its lock is held."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        """Close the file; what was read stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read_records(self, end: int) -> None:
        start = self._records_read
        data = os.pread(self._fd, end - start, self.header.records_offset + start)
        if len(data) < end - start:
            raise FormatError("truncated")
        offset = 0
        while offset + RECORD_HEADER <= len(data):
            size = record_size(data, offset)
            if size == 0:
                break  # being written: next time
            if offset + size > len(data):
                raise FormatError("a record reaches beyond the end")
            fields = unpack_record(data, offset)
            if fields is None:
                self.unreadable_records += 1
            else:
                self._take(fields)
            offset += size
        self._records_read = start + offset

    def _take(self, fields: list[Any]) -> None:
        try:
            match fields:
                case ["meta", dict() as facts]:
                    self.facts.update(facts)
                case ["metric", int(number), dict() as description]:
                    self._metrics[number] = parse_metric(description)
                case ["series", int(number), int(cell), list(labels)]:
                    self._take_series(self._metrics[number], cell, labels)
                case ["block", int(series_cell), int(block), int(cell)]:
                    self._check_cells(cell, 8)
                    self._by_cell[series_cell].blocks[block] = cell
                case _:
                    pass  # of a newer version
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"impossible record {str(fields)[:80]}") from error

    def _take_series(self, metric: MetricRecord, cell: int, labels: list[Any]) -> None:
        if len(labels) != len(metric.labels) or not all(isinstance(v, str) for v in labels):
            raise ValueError(labels)
        self._check_cells(cell, metric.cell_count)
        series = SeriesRecord(metric, tuple(labels), cell)
        self.series.append(series)
        self._by_cell[cell] = series

    def _check_cells(self, cell: int, count: int) -> None:
        if cell < 0 or (cell + count) * CELL > self.header.values_size:
            raise ValueError(cell)


def parse_metric(description: dict[str, Any]) -> MetricRecord:
    """A metric record's description, checked.

    Raises:
        KeyError, TypeError, ValueError: it does not describe a metric.
    """
    metric = MetricRecord(
        name=_text(description["name"]),
        kind=_text(description["kind"]),
        unit=_text(description.get("unit", "")),
        help=_text(description.get("help", "")),
        labels=tuple(_text(label) for label in description["labels"]),
        bounds=tuple(float(bound) for bound in description["bounds"]),
        merge=_text(description.get("merge", "sum")),
        native=bool(description.get("native", False)),
    )
    if metric.kind not in KINDS or len(metric.bounds) > MAX_BOUNDS:
        raise ValueError(metric.kind)
    ascending = all(a < b for a, b in zip(metric.bounds, metric.bounds[1:], strict=False))
    if not ascending or not all(map(math.isfinite, metric.bounds)):
        raise ValueError(metric.bounds)
    if not _is_name(metric.name) or not all(_is_name(label) for label in metric.labels):
        raise ValueError(metric.name)
    if len(set(metric.labels)) != len(metric.labels):
        raise ValueError(metric.labels)
    return metric


def find_segments(directory: Path) -> list[Path]:
    """The files in the directory that are named like segments, sorted; none when it is missing."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [directory / n for n in sorted(names) if n.endswith(SUFFIX) and not n.startswith(".")]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii()
