"""Gathers the cells of many series into arrays and tells which no process writes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]

MAX_COUNT = 2.0**53
"""Counts are exact up to here; no process gets there."""

MAX_TOTAL = 1e300
"""More than a process can add up, and so little that a sum over processes stays finite."""


def gather(there: Reals, cells: Numbers, count: int) -> Reals:
    """`count` cells from each of `cells` on, one row each; NaN where there are none."""
    if len(cells) and cells.max() + count > len(there):
        there = np.concatenate([there, np.full(count, np.nan)])
        cells = np.minimum(cells, len(there) - count)
    if not len(cells):
        return np.empty((0, count))
    # From each cell on `count` of them: a view, which numpy's own function takes 30 us to make.
    windows: Reals = np.ndarray((len(there) - count + 1, count), there.dtype, there, 0, (8, 8))
    gathered: Reals = windows[cells]
    return gathered


def are_there(values: Reals, cells: Numbers, count: int) -> Mask:
    """Which of the series have all their cells."""
    return cells + count <= len(values)


def valid_totals(totals: Reals) -> Mask:
    """Which values a counter can have: at least 0 and finite."""
    return (totals >= 0.0) & (totals <= MAX_TOTAL)


def valid_histograms(sums: Reals, buckets: Reals) -> Mask:
    """Which rows a histogram can have: a finite sum, counts that are whole and at least 0."""
    return (np.abs(sums) <= MAX_TOTAL) & are_counts(buckets)


def are_counts(buckets: Reals) -> Mask:
    """Which rows hold counts alone: whole numbers from 0 on that do not add up to too many."""
    # Every comparison with NaN is false, and an infinity makes the sum too large.
    few: Mask = sums_of(buckets) <= MAX_COUNT
    whole = (buckets == np.floor(buckets)) & (buckets >= 0.0)
    return few if whole.all() else few & whole.all(axis=1)


def sums_of(rows: Reals) -> Reals:
    """The sum of each row; for short ones faster than the method of the array."""
    sums: Reals = np.einsum("ij->i", rows)
    return sums


def add_exactly(high: Reals, low: Reals, at: NDArray[np.integer[Any]], values: Reals) -> None:
    """Add to `high` at places of which none occurs twice; `low` gets what rounding takes away."""
    before = high[at]
    after = before + values  # Knuth's TwoSum
    added = after - before
    low[at] += (before - (after - added)) + (values - added)
    high[at] = after
