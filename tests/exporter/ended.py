"""Processes that ended, as the real writer leaves them, and the plain sum of a directory."""

import os
import signal
from contextlib import contextmanager
from fractions import Fraction

from perfsdk.store.writer import Writer
from perfsdk_exporter.reaping.archive_reader import ARCHIVE
from perfsdk_exporter.segments.discovery import Segments

SIZE_BYTES = 64 << 10
KEPT = {ARCHIVE, "archive.lock"}
"""What is left of a directory when all that was in it is reaped."""


def living(directory, *series):
    """A writer that recorded `(metric, labels, cells, {block: counts})`; the caller closes it."""
    writer = Writer(directory, size_bytes=SIZE_BYTES)
    for metric, labels, cells, *blocks in series:
        cell = writer.series(metric, labels)
        for offset, value in enumerate(cells):
            writer.values[cell + offset] = value
        for block, counts in (blocks[0] if blocks else {}).items():
            first = writer.block(cell, block)
            for offset, value in enumerate(counts):
                writer.values[first + offset] = value
    return writer


def ended(directory, *series):
    """The path of the segment of a process that recorded the series and ended."""
    writer = living(directory, *series)
    path = writer.segment.path
    writer.close()
    return path


def sums(directory):
    """{(metric, labels, cell or block): exact sum}: what a page of the directory must show.

    Gauges are those of living processes alone.
    """
    with reading(directory) as read:
        return read()


@contextmanager
def reading(directory):
    """Like `sums`, again and again with the same open files."""
    segments = Segments()
    try:
        yield lambda: _sums(segments.read(directory)[0])
    finally:
        segments.close()


def _sums(snapshots):
    found = {}
    for snapshot in snapshots:
        for group in snapshot.groups:
            if group.metric.kind == "gauge" and not snapshot.live:
                continue
            for series in group.series:
                for place, value in _cells(snapshot, series):
                    key = (group.metric.name, series.labels, place)
                    found[key] = found.get(key, Fraction(0)) + Fraction(value)
    return found


def _cells(snapshot, series):
    values, count = snapshot.values, series.metric.cell_count
    for place in range(count):
        yield place, values[series.cell + place]
    if snapshot.archive:
        yield 0, values[series.cell + count]
    for block, cell in series.blocks.items():
        for place in range(8):
            if values[cell + place]:
                yield f"block {block * 8 + place}", values[cell + place]


def in_killable_child(work):
    """Run `work` in a forked child; whether it came to its end, or was killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(20)  # a child that hangs ends
            work()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert status == 0, status
    return True
