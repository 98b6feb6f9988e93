"""The sidecar's view: parses a segment's descriptions once and takes snapshots of its values."""

import fcntl
import os
import stat
import sys
from array import array
from pathlib import Path
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
    record_payload,
    record_size,
    unpack_header,
    unpack_payloads,
)
from perfsdk.store.series import SeriesRecord, pack_places

MAX_FILE_SIZE_BYTES = 256 << 20
# ceil(log2(x) * 8) / 8 of the smallest and of the largest real
MIN_BLOCK, MAX_BLOCK = -1074, 1024

_RECORD_BYTES_AT_ONCE = 64 << 10


class SegmentReader:
    """One segment file, open for reading.

    `refresh` reads what was described since the last time and a copy of all cells; the two
    steps can be had apart. All use `pread`, so a file that shrinks gives an error, not a
    signal. Not safe for threads.
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
        # What is described, not what is in use: a wrong end costs no memory, and no processor
        # whose stores others see in another order makes a series of ours reach beyond it.
        self.described_cells = 0
        self.folded: set[bytes] = set()  # segments that are in the totals of an archive
        self._extra_cells = extra_cells
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
        """Read new descriptions into `series` and a snapshot of their cells into `values`.

        Raises:
            FormatError: the content contradicts itself or the file shrank.
        """
        self.read_descriptions()
        values = array("d", bytes(self.described_cells * CELL))
        self.read_cells(0, memoryview(values))
        self.values = values

    def read_descriptions(self) -> None:
        """Read what was described since the last time; the cells of all of it may be read then.

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

    def read_cells(self, first: int, into: memoryview) -> None:
        """Fill `into`, whose items have 8 bytes, with the cells from `first` on.

        Raises:
            FormatError: the file shrank.
        """
        if os.preadv(self._fd, [into], self.header.page + first * CELL) < into.nbytes:
            raise FormatError("truncated")

    def adopt(self, other: "SegmentReader", size: int) -> bool:
        """Take the descriptions of `other` when the first `size` bytes of both are the same.

        Before the first `refresh`, in place of parsing them again; whether they are the same.

        Raises:
            FormatError: the file shrank.
        """
        cells = other.described_cells
        if size > self.header.records_size or cells * CELL > self.header.values_size:
            return False
        if self._read_at(0, size) != other._read_at(0, size):  # noqa: SLF001 - of this class
            return False
        self.series = other.series
        self._metrics, self._by_cell = other._metrics, other._by_cell  # noqa: SLF001 - of this class
        self._records_read = size
        self.described_cells = cells
        return True

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
            data = self._read_at(self._records_read, min(left, _RECORD_BYTES_AT_ONCE))
            size = record_size(data, 0)
            if size == 0:
                return  # being written: next time
            if size > min(left, MAX_RECORD_BYTES):
                raise FormatError("a record reaches beyond the end")
            if size > len(data):
                data = self._read_at(self._records_read, size)
            self._take_complete(data)

    def _read_at(self, start: int, size: int) -> bytes:
        data = os.pread(self._fd, size, self.header.records_offset + start)
        if len(data) < size:
            raise FormatError("truncated")
        return data

    def _take_complete(self, data: bytes) -> None:
        payloads, sizes, offset = [], [], 0
        while offset + RECORD_HEADER <= len(data):
            size = record_size(data, offset)
            if size == 0 or offset + size > len(data):
                break
            payload = record_payload(data, offset)
            if payload is None:
                # Again, later: its writer may have been in the middle of it.
                payload = record_payload(self._read_at(self._records_read + offset, size), 0)
            payloads.append(payload or b"")
            sizes.append(size)
            offset += size
        for fields, size in zip(unpack_payloads(payloads), sizes, strict=True):
            if fields is None:
                self.unreadable_records += 1
            else:
                self._take(fields)
            self._records_read += size

    def _take(self, fields: list[Any]) -> None:
        self.records_taken += 1
        try:
            match fields:
                case ["series", int(number), int(cell), list(labels)]:
                    self._take_series(self._metrics[number], cell, labels)
                case ["block", int(series_cell), int(block), int(cell)]:
                    self._take_block(self._by_cell[series_cell], block, cell)
                case ["exemplar", int(series_cell), int(number), int(cell)]:
                    self._take_exemplar(self._by_cell[series_cell], number, cell)
                case ["meta", dict() as facts]:
                    self.facts.update(facts)
                case ["metric", int(number), dict() as description]:
                    self._metrics[number] = parse_metric(description)
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
        series.block_places = pack_places({**series.blocks, block: cell})

    def _take_exemplar(self, series: SeriesRecord, number: int, cell: int) -> None:
        if series.metric.kind != "histogram" or not 0 <= number < MAX_RANGES:
            raise ValueError(number)
        self._check_cells(cell, PAIR_CELLS)
        series.exemplar_places = pack_places({**series.exemplars, number: cell})

    def _check_cells(self, cell: int, count: int) -> None:
        if cell < 0 or (cell + count) * CELL > self.header.values_size:
            raise ValueError(cell)
        self.described_cells = max(self.described_cells, cell + count)


def find_segments(directory: Path) -> list[Path]:
    """The files in the directory that are named like segments, sorted; none when it is missing."""
    try:
        with os.scandir(directory) as entries:
            names = [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [directory / n for n in sorted(names) if n.endswith(SUFFIX) and not n.startswith(".")]
