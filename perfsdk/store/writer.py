"""The owner's side of the store: names series, hands out their cells, survives fork and loss."""

import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from perfsdk.store.directory import DirectoryError, ensure_directory
from perfsdk.store.format import pack_record
from perfsdk.store.segment import LockUnavailableError, Segment, SegmentFullError

CLOSED: "memoryview[float]" = memoryview(b"").cast("d")
"""What `values` is while there is no segment: every store into it raises IndexError."""

SCRATCH = 0
"""The cell for values that found no room; part of no series."""


class Described(Protocol):
    """What a metric says about itself to the segment; `perfsdk.catalog.Metric` has it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def bounds(self) -> tuple[float, ...]: ...
    @property
    def merge(self) -> str: ...
    @property
    def native(self) -> bool: ...


class Writer:
    """Cells of this process, as a flat array of reals: `writer.values[cell] += amount`.

    `values` is read anew for every use: it is replaced after a fork and when the file is lost.
    The file is made when the first series is, so that a process which records nothing leaves
    none. Storing into `values` raises IndexError after a fork, until `revive` was called;
    cells handed out before keep their numbers.

    Threads: stores need no lock on builds with a GIL, when index and amount are computed
    first. Everything here may be called by any thread, also from signal handlers and finalizers.
    """

    def __init__(
        self,
        directory: Path | None,
        *,
        size_bytes: int = 16 << 20,
        directory_mode: int = 0o700,
        on_open: Callable[[], None] | None = None,
        on_degraded: Callable[[str], None] | None = None,
    ) -> None:
        self.values: memoryview[float] = CLOSED
        self._directory = directory
        self._size_bytes = size_bytes
        self._directory_mode = directory_mode
        self._on_open = on_open
        self._on_degraded = on_degraded
        self._segment: Segment | None = None
        self._inherited: tuple[bytes, int] | None = None
        self._stopped = False
        self._lock = threading.RLock()
        self._facts: Mapping[str, Any] = {}
        self._metrics: dict[str, int] = {}
        self._described: set[str] = set()
        after_fork = weakref.WeakMethod(self._after_fork_in_child)
        os.register_at_fork(after_in_child=lambda: (found := after_fork()) and found())

    @property
    def segment(self) -> Segment | None:
        """The segment in use, None before the first series."""
        return self._segment

    def series(self, metric: Described, labels: Sequence[str], *, for_self: bool = False) -> int:
        """Make a series and return its first cell; `SCRATCH` when there is no room for it."""
        with self._lock:
            if self._stopped:
                return SCRATCH
            segment = self._open()
            number = self._metrics.setdefault(metric.name, len(self._metrics))
            cells = cell_count(metric)
            try:
                if metric.name not in self._described:
                    record = pack_record(["metric", number, describe(metric)])
                    segment.append_record(record, for_self=for_self)
                    self._described.add(metric.name)
                cell = segment.allocate_cells(cells, for_self=for_self)
                if metric.kind == "gauge" and metric.merge in ("min", "max"):
                    segment.values[cell] = float("nan")
                record = pack_record(["series", number, cell, list(labels)])
                segment.append_record(record, for_self=for_self)
            except SegmentFullError:
                return SCRATCH
            return cell

    def block(self, series_cell: int, block: int) -> int:
        """Make a block of 8 native buckets for a series; `SCRATCH` when there is no room."""
        with self._lock:
            if self._stopped:
                return SCRATCH
            segment = self._open()
            try:
                cell = segment.allocate_cells(8, align=8)
                segment.append_record(pack_record(["block", series_cell, block, cell]))
            except SegmentFullError:
                return SCRATCH
            return cell

    def facts(self, facts: Mapping[str, Any]) -> None:
        """What every segment of this process says about it (service, versions); before use."""
        self._facts = dict(facts)

    def revive(self) -> bool:
        """Call when a store raised IndexError: open a segment; True when it is worth repeating."""
        with self._lock:
            if self._stopped:
                return False
            self._open()
            return self.values is not CLOSED

    def maintain(self) -> None:
        """Take a new file when the old one is gone, or when none could be had before.

        Values go along. An addition made by another thread during the copy may be lost.
        """
        with self._lock:
            segment = self._segment
            if segment is None or self._directory is None or segment.is_published():
                return
            replacement = self._create()
            if replacement is None:
                return
            _copy_layout(replacement, segment.records(), segment.cells_end)
            replacement.values[: segment.cells_end] = segment.values[: segment.cells_end]
            self._segment = replacement
            self.values = replacement.values
            segment.close()

    def close(self) -> None:
        """End this writer: readers see a dead process whose totals stay."""
        with self._lock:
            self._stopped = True
            self.values = CLOSED
            if self._segment is not None:
                self._segment.close()
            self._segment = None

    def _open(self) -> Segment:
        if self._segment is not None:
            return self._segment
        segment = self._create() or Segment.in_memory(size_bytes=self._size_bytes)
        if self._inherited is not None:
            _copy_layout(segment, *self._inherited)
            self._inherited = None
        elif self._facts:
            segment.append_record(pack_record(["meta", self._facts]), for_self=True)
        self._segment = segment
        self.values = segment.values
        if self._on_open is not None:
            self._on_open()
        return segment

    def _create(self) -> Segment | None:
        if self._directory is None:
            return None
        try:
            ensure_directory(self._directory, self._directory_mode)
            return Segment.create(
                self._directory,
                size_bytes=self._size_bytes,
                file_mode=self._directory_mode & 0o660,
            )
        except LockUnavailableError as error:
            self._report(f"{self._directory} cannot lock files ({error.strerror}); use /dev/shm")
        except DirectoryError as error:
            self._report(str(error))
        except SegmentFullError as error:
            self._report(f"{self._directory}: {error}")
        except OSError as error:
            self._report(f"{self._directory}: {error.strerror}")
        return None

    def _report(self, reason: str) -> None:
        if self._on_degraded is not None:
            self._on_degraded(reason)

    def _after_fork_in_child(self) -> None:
        # The lock may have been held by a thread that does not exist here.
        self._lock = threading.RLock()
        segment = self._segment
        if segment is None:
            return
        self.values = CLOSED
        self._segment = None
        self._inherited = (segment.records(), segment.cells_end)
        segment.close()


def cell_count(metric: Described) -> int:
    """How many cells a series of the metric owns."""
    if metric.kind == "histogram":
        return len(metric.bounds) + 2 + metric.native
    return 2 if metric.merge == "newest" else 1


def describe(metric: Described) -> dict[str, Any]:
    """The metric as its record has it."""
    return {
        "name": metric.name,
        "kind": metric.kind,
        "unit": metric.unit,
        "help": metric.help,
        "labels": metric.labels,
        "bounds": metric.bounds,
        "merge": metric.merge,
        "native": metric.native,
    }


def monotonic_start() -> float:
    """Now, as gauges of kind `oldest` hold it: seconds on the clock that all processes share."""
    return time.perf_counter()


def _copy_layout(segment: Segment, records: bytes, cells_end: int) -> None:
    """Give a new segment the same series at the same cells, all zero."""
    segment.allocate_cells(cells_end - segment.cells_end, for_self=True)
    segment.append_record(records, for_self=True)
