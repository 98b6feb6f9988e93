"""The sidecar's view: parses a segment's descriptions once and takes snapshots of its values."""

import fcntl
import os
import stat
import sys
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from perfsdk.store.description import MetricRecord, parse_metric
from perfsdk.store.directory import is_trusted
from perfsdk.store.exemplars import MAX_RANGES, PAIR_CELLS
from perfsdk.store.format import (
    CELL,
    CELLS_END_OFFSET,
    MAX_RECORD_BYTES,
    NATIVE_BUCKETS_PER_BLOCK,
    RECORD_HEADER,
    SUFFIX,
    FormatError,
    Header,
    record_size,
    unpack_header,
    unpack_record,
)

MAX_FILE_SIZE_BYTES = 256 << 20
# ceil(log2(x) * 8) / 8 of the smallest and of the largest real
MIN_BLOCK, MAX_BLOCK = -1074, 1024


_NONE: Mapping[int, int] = MappingProxyType({})  # a dictionary for each series takes memory


@dataclass(slots=True)
class SeriesRecord:
    """One series: `cell` is the first of its cells, `blocks` maps a native block to its first.

    `exemplars` maps a range of values to its pair of slots; see `exemplars.read_exemplar`.
    """

    metric: MetricRecord
    labels: tuple[str, ...]
    cell: int
    blocks: Mapping[int, int] = field(default_factory=lambda: _NONE)
    exemplars: Mapping[int, int] = field(default_factory=lambda: _NONE)


class SegmentReader:
    """One segment file, open for reading.

    `refresh` reads what was described since the last time and a copy of all cells. It uses
    `pread`, so a file that shrinks gives an error, not a signal. Not safe for threads.
    """

    def __init__(self, path: Path, *, extra_cells: int = 0) -> None:
        """Open and check the file; each series owns `extra_cells` more than its metric says.

        Raises:
            FormatError: it is not a segment of this version, or not to be trusted.
            OSError: it cannot be opened (FileNotFoundError: it is gone).
        """
        self.path = path
        self.facts: dict[str, Any] = {}
        self.series: list[SeriesRecord] = []
        self.values: array[float] = array("d")
        self.unreadable_records = 0
        self.records_taken = 0
        self.folded: set[bytes] = set()  # segments that are in the totals of an archive
        self._extra_cells = extra_cells
        self._metrics: dict[int, MetricRecord] = {}
        self._by_cell: dict[int, SeriesRecord] = {}
        self._records_read = 0
        self._described_end = 0
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
        """Read new descriptions into `series` and a snapshot of their cells into `values`.

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
        cells_end = int.from_bytes(os.pread(self._fd, 8, CELLS_END_OFFSET), "little")
        if cells_end * CELL > self.header.values_size:
            raise FormatError("more cells than there is room for")
        # What is described, not what is in use: a wrong end costs no memory, and no processor
        # whose stores others see in another order makes a series of ours reach beyond `values`.
        data = os.pread(self._fd, self._described_end * CELL, self.header.page)
        if len(data) < self._described_end * CELL:
            raise FormatError("truncated")
        self.values = array("d", data)

    def adopt(self, other: "SegmentReader", size: int) -> bool:
        """Take the descriptions of `other` when the first `size` bytes of both are the same.

        Before the first `refresh`, in place of parsing them again; whether they are the same.

        Raises:
            FormatError: the file shrank.
        """
        cells = other._described_end  # noqa: SLF001 - of this class
        if size > self.header.records_size or cells * CELL > self.header.values_size:
            return False
        if self._read_at(0, size) != other._read_at(0, size):  # noqa: SLF001 - of this class
            return False
        self.series = other.series
        self._metrics, self._by_cell = other._metrics, other._by_cell  # noqa: SLF001 - of this class
        self._records_read = size
        self._described_end = cells
        return True

    def reread(self, cell: int, count: int) -> None:
        """Take some cells of `values` again; what is not there any more stays as it was."""
        data = os.pread(self._fd, count * CELL, self.header.page + cell * CELL)
        if len(data) == count * CELL:
            self.values[cell : cell + count] = array("d", data)

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
        # In steps: a wrong end costs no memory, because there are no records where it leads.
        while (left := end - self._records_read) >= RECORD_HEADER:
            data = self._read_at(self._records_read, min(left, MAX_RECORD_BYTES))
            size = record_size(data, 0)
            if size == 0:
                return  # being written: next time
            if size > len(data):
                raise FormatError("a record reaches beyond the end")
            self._take_complete(data)

    def _read_at(self, start: int, size: int) -> bytes:
        data = os.pread(self._fd, size, self.header.records_offset + start)
        if len(data) < size:
            raise FormatError("truncated")
        return data

    def _take_complete(self, data: bytes) -> None:
        offset = 0
        while offset + RECORD_HEADER <= len(data):
            size = record_size(data, offset)
            if size == 0 or offset + size > len(data):
                return
            fields = unpack_record(data, offset)
            if fields is None:
                # Again, later: its writer may have been in the middle of it.
                fields = unpack_record(self._read_at(self._records_read, size), 0)
            if fields is None:
                self.unreadable_records += 1
            else:
                self._take(fields)
            offset += size
            self._records_read += size

    def _take(self, fields: list[Any]) -> None:
        self.records_taken += 1
        try:
            match fields:
                case ["meta", dict() as facts]:
                    self.facts.update(facts)
                case ["metric", int(number), dict() as description]:
                    self._metrics[number] = parse_metric(description)
                case ["series", int(number), int(cell), list(labels)]:
                    self._take_series(self._metrics[number], cell, labels)
                case ["block", int(series_cell), int(block), int(cell)]:
                    self._take_block(self._by_cell[series_cell], block, cell)
                case ["exemplar", int(series_cell), int(number), int(cell)]:
                    self._take_exemplar(self._by_cell[series_cell], number, cell)
                case ["folded", list(identities)]:
                    self.folded.update(map(bytes.fromhex, identities))
                case _:
                    pass  # of a newer version
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise FormatError(f"impossible {fields[0]} record") from error

    def _take_series(self, metric: MetricRecord, cell: int, labels: list[Any]) -> None:
        if len(labels) != len(metric.labels) or not all(isinstance(v, str) for v in labels):
            raise ValueError(labels)
        self._check_cells(cell, metric.cell_count + self._extra_cells)
        series = SeriesRecord(metric, tuple(map(sys.intern, labels)), cell)  # all workers have them
        self.series.append(series)
        self._by_cell[cell] = series

    def _take_block(self, series: SeriesRecord, block: int, cell: int) -> None:
        if not series.metric.native or not MIN_BLOCK <= block <= MAX_BLOCK:
            raise ValueError(block)
        self._check_cells(cell, NATIVE_BUCKETS_PER_BLOCK)
        series.blocks = {**series.blocks, block: cell}

    def _take_exemplar(self, series: SeriesRecord, number: int, cell: int) -> None:
        if series.metric.kind != "histogram" or not 0 <= number < MAX_RANGES:
            raise ValueError(number)
        self._check_cells(cell, PAIR_CELLS)
        series.exemplars = {**series.exemplars, number: cell}

    def _check_cells(self, cell: int, count: int) -> None:
        if cell < 0 or (cell + count) * CELL > self.header.values_size:
            raise ValueError(cell)
        self._described_end = max(self._described_end, cell + count)


def find_segments(directory: Path) -> list[Path]:
    """The files in the directory that are named like segments, sorted; none when it is missing."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [directory / n for n in sorted(names) if n.endswith(SUFFIX) and not n.startswith(".")]
