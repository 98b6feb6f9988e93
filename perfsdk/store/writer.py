"""The owner's side of the store: names series, hands out their cells, survives fork and loss."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from perfsdk.store.additions import Known, add_cells
from perfsdk.store.description import Described, cell_count, check_metric, describe
from perfsdk.store.exemplars import PAIR_CELLS
from perfsdk.store.fork import ForkLock
from perfsdk.store.format import complete_records, pack_record
from perfsdk.store.layout import Layout, UnavailableError, create_segment, segment_in_memory
from perfsdk.store.segment import Segment, SegmentFullError

CLOSED: "memoryview[float]" = memoryview(bytearray()).cast("d")
"""What `values` is while there is no segment: every store into it raises IndexError."""

SCRATCH = 0
"""The cell for values that found no room; part of no series."""


class Writer:
    """Cells of this process, as a flat array of reals: `writer.values[cell] += amount`.

    `values` is read anew for every use: it is replaced after a fork and when the file is lost.
    The file is made when the first series is, so that a process which records nothing leaves
    none. Storing into `values` raises IndexError after a fork, until `revive` was called;
    cells handed out before keep their numbers.

    Threads: stores need no lock on builds with a GIL, when index and amount are computed
    first. Everything here may be called by any thread, also from signal handlers and finalizers.
    `on_open` (a segment was made) and `on_degraded` (why there is no file, each reason once) are
    called without the lock, before the call that caused them returns: a log handler may record.
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
        self._inherited: Layout | None = None
        self._stopped = False
        self._lock = ForkLock(self._after_fork_in_child)
        self._facts: Mapping[str, Any] = {}
        self._metrics: dict[tuple[Any, ...], int] = {}
        self._described: set[int] = set()
        self._initially_unset: list[int] = []
        self._news: deque[Callable[[], None]] = deque()
        self._degraded_by: set[str] = set()

    @property
    def segment(self) -> Segment | None:
        """The segment in use, None before the first series."""
        return self._segment

    def series(self, metric: Described, labels: Sequence[str], *, for_self: bool = False) -> int:
        """Make a series and return its first cell; `SCRATCH` when there is no room for it.

        Raises:
            ValueError: a reader would refuse it, and with it the whole segment.
        """
        if len(labels) != len(metric.labels) or not all(isinstance(v, str) for v in labels):
            raise ValueError(f"{metric.name}{metric.labels}: labels {list(labels)!r:.80}")
        with self._lock.held:
            cell = SCRATCH if self._stopped else self._series(metric, list(labels), for_self)
        self._tell()
        return cell

    def block(self, series_cell: int, block: int, known: Known | None = None) -> int:
        """Make a block of 8 native buckets for a series; `SCRATCH` when there is no room.

        `known` are the blocks that it has: one made meanwhile is taken, a new one entered.
        """
        return self._add(("block", series_cell, block), 8, {} if known is None else known)

    def exemplar(self, series_cell: int, number: int, known: Known) -> int:
        """Make the pair of slots of one range for a series; `known` as for `block`."""
        return self._add(("exemplar", series_cell, number), PAIR_CELLS, known)

    def facts(self, facts: Mapping[str, Any]) -> None:
        """What every segment of this process says about it (service, versions); before use."""
        self._facts = dict(facts)

    def revive(self) -> bool:
        """Call when a store raised IndexError: open a segment; True when it is worth repeating."""
        with self._lock.held:
            if not self._stopped:
                self._open()
            worth = self.values is not CLOSED
        self._tell()
        return worth

    def maintain(self) -> None:
        """Take a new file when the old one is gone, or when none could be had before.

        Values go along. An addition made by another thread during the copy may be lost.
        """
        with self._lock.held:
            segment = self._segment
            if segment is not None and self._directory is not None and not segment.is_published():
                self._replace(segment)
        self._tell()

    def close(self) -> None:
        """End this writer: readers see a dead process whose totals stay."""
        with self._lock.held:
            self._stopped = True
            self.values = CLOSED
            if self._segment is not None:
                self._segment.close()
            self._segment = None

    def _series(self, metric: Described, labels: list[str], for_self: bool) -> int:
        segment = self._open()
        key = tuple(describe(metric).values())
        number = self._metrics.get(key)
        if number is None:
            check_metric(metric)
            number = self._metrics.setdefault(key, len(self._metrics))
        try:
            if number not in self._described:
                record = pack_record(["metric", number, describe(metric)])
                segment.append_record(record, for_self=for_self)
                self._described.add(number)
            likely = segment.cells_end
            record = pack_record(["series", number, likely, labels])
            segment.make_room(len(record) + 8, for_self=for_self)
            cell = segment.allocate_cells(cell_count(metric), for_self=for_self)
            if metric.kind == "gauge" and metric.merge in ("min", "max", "newest", "worker"):
                segment.values[cell] = float("nan")
                self._initially_unset.append(cell)
            if cell != likely:  # re-entered meanwhile
                record = pack_record(["series", number, cell, labels])
            segment.append_record(record, for_self=for_self)
        except SegmentFullError:
            return SCRATCH
        return cell

    def _add(self, key: tuple[str, int, int], count: int, known: Known) -> int:
        cell = SCRATCH
        with self._lock.held:
            if not self._stopped:
                try:
                    cell = add_cells(self._open(), key, count, known)
                except SegmentFullError:
                    pass
        self._tell()
        return cell

    def _open(self) -> Segment:
        return self._segment or self._use(self._first())

    def _use(self, fresh: Segment) -> Segment:
        # Re-entered meanwhile (a signal handler that records), one segment is there already.
        # No call between the question and the answer.
        segment = self._segment
        if segment is None:
            self._segment = segment = fresh
            self.values = fresh.values
        if segment is not fresh:
            fresh.discard()
            return segment
        self._inherited = None
        if self._on_open is not None:
            self._news.append(self._on_open)
        return segment

    def _first(self) -> Segment:
        """The first segment of this process: empty, or with the layout that a child inherits."""
        layout = self._inherited or Layout(b"", 0, ())
        if not layout.records and self._facts:
            layout = layout._replace(records=pack_record(["meta", self._facts]))
        whole = complete_records(layout.records)
        if len(whole) < len(layout.records):  # a fork in the middle of one: describe it again
            self._described.clear()
            layout = layout._replace(records=whole)
        fresh = self._create(layout)
        return fresh or segment_in_memory(layout, size_bytes=self._size_bytes)

    def _replace(self, segment: Segment) -> None:
        layout = self._layout(segment)
        records_end, cells_end = len(layout.records), layout.cells_end
        replacement = self._create(layout)
        if replacement is None:
            return
        replacement.values[:cells_end] = segment.values[:cells_end]
        # Re-entered meanwhile, the copy is incomplete: next time. No call from here on.
        if segment.cells_end == cells_end and segment.records_end == records_end:
            self._segment = replacement
            self.values = replacement.values
        if self._segment is replacement:
            segment.close()
        else:
            replacement.discard()

    def _layout(self, segment: Segment) -> Layout:
        cells_end = segment.cells_end
        unset = tuple(cell for cell in self._initially_unset if cell < cells_end)
        return Layout(segment.records(), cells_end, unset)

    def _create(self, layout: Layout) -> Segment | None:
        if self._directory is None:
            return None
        try:
            segment = create_segment(
                self._directory,
                layout,
                size_bytes=self._size_bytes,
                directory_mode=self._directory_mode,
            )
        except UnavailableError as error:
            reason = str(error)
            if reason not in self._degraded_by and self._on_degraded is not None:
                self._degraded_by.add(reason)
                self._news.append(partial(self._on_degraded, reason))
            return None
        self._degraded_by.clear()
        return segment

    def _tell(self) -> None:
        while self._news:
            try:
                call = self._news.popleft()
            except IndexError:  # another thread was faster
                return
            call()

    def _after_fork_in_child(self) -> None:
        self._news.clear()
        segment = self._segment
        if segment is None:
            return
        self.values = CLOSED
        self._segment = None
        self._inherited = self._layout(segment)
        segment.close()
