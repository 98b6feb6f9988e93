"""Reads the cells of one series and refuses what no process writes; no input or output."""

import math
from array import array
from typing import NamedTuple

from perfsdk.store.reader import SeriesRecord
from perfsdk_exporter.families import Histogram

MAX_COUNT = 2.0**53
"""Counts are exact up to here; no process gets there."""

MAX_TOTAL = 1e300
"""More than a process can add up, and so little that a sum over processes stays finite."""


class InvalidCellsError(Exception):
    """Cells with a value that no process writes, or cells that are not there."""


class Reading(NamedTuple):
    """A gauge in one process; `time` (seconds since the epoch) only for the merge `newest`."""

    value: float
    time: float


def read_counter(values: "array[float]", series: SeriesRecord) -> float:
    """The counter's value: at least 0 and finite.

    Raises:
        InvalidCellsError: it is not.
    """
    (value, *_) = _cells(values, series.cell, 1)
    if not 0.0 <= value <= MAX_TOTAL:
        raise InvalidCellsError
    return value


def read_gauge(values: "array[float]", series: SeriesRecord) -> Reading | None:
    """The gauge, None when it is not set: NaN, or an infinity, which no page should show.

    Raises:
        InvalidCellsError: the cells are not there.
    """
    cells = _cells(values, series.cell, series.metric.cell_count)
    if not math.isfinite(cells[0]):
        return None
    time = cells[1] if len(cells) > 1 and math.isfinite(cells[1]) else 0.0
    return Reading(cells[0], time)


def read_histogram(values: "array[float]", series: SeriesRecord) -> Histogram:
    """The histogram with a bucket for each bound of its own segment and one above.

    Raises:
        InvalidCellsError: a count is negative, not whole, not a number or too large, or the
            sum is not finite.
    """
    cells = _cells(values, series.cell, series.metric.cell_count)
    total = cells[0]
    if not -MAX_TOTAL <= total <= MAX_TOTAL:
        raise InvalidCellsError
    # The zero bucket of native ones, which no format of ours shows, is before the others.
    return Histogram(_counts(cells[1 + series.metric.native :]), total)


def _cells(values: "array[float]", cell: int, count: int) -> "array[float]":
    cells = values[cell : cell + count]
    if len(cells) < count:
        raise InvalidCellsError
    return cells


def _counts(cells: "array[float]") -> list[float]:
    # A NaN or an infinity makes the sum one too, and every comparison with NaN is false.
    if not 0.0 <= sum(cells) <= MAX_COUNT or min(cells) < 0.0:
        raise InvalidCellsError
    counts = cells.tolist()
    if not all(map(float.is_integer, counts)):
        raise InvalidCellsError
    return counts
