"""Adds up the numbers of many processes, the same in whatever order; no input or output."""

import numpy as np
from numpy.typing import NDArray

from perfsdk_exporter.multiproc.files import Indices, Reals
from perfsdk_exporter.segments.cells import add_exactly

Flags = NDArray[np.bool_]


class Totals:
    """One number for every slot.

    Sums are kept with what rounding took from them, so they are rounded once, at the end: a
    total of reals never goes down because its parts were added in another order.
    """

    def __init__(self, size: int) -> None:
        self._high: Reals = np.zeros(size)
        self._low: Reals = np.zeros(size)
        self._times: Reals = np.zeros(size)
        self.present: Flags = np.zeros(size, np.bool_)

    def grown(self, size: int) -> "Totals":
        """A copy with room for more slots."""
        copy = Totals(size)
        count = len(self.present)
        copy._high[:count] = self._high
        copy._low[:count] = self._low
        copy._times[:count] = self._times
        copy.present[:count] = self.present
        return copy

    def add(self, mode: str, slots: Indices, values: Reals, times: Reals) -> None:
        """Add the numbers of one file; `mode` of a gauge, empty for sums. Every slot once."""
        if mode == "all":
            self._high[slots] = values
        elif mode in ("min", "max"):
            better = np.fmin if mode == "min" else np.fmax
            known = np.where(self.present[slots], self._high[slots], values)
            self._high[slots] = better(known, values)
        elif mode == "mostrecent":
            newer = times > self._times[slots]
            slots = slots[newer]  # what was never set has the time 0 and is absent
            self._high[slots] = values[newer]
            self._times[slots] = times[newer]
        else:
            with np.errstate(invalid="ignore", over="ignore"):
                add_exactly(self._high, self._low, slots, values)
        self.present[slots] = True

    def numbers(self) -> Reals:
        """The totals; that of an absent slot is 0."""
        with np.errstate(invalid="ignore", over="ignore"):
            # Beside an infinity there is nothing left to correct.
            low = np.where(np.isfinite(self._low) & np.isfinite(self._high), self._low, 0.0)
            return np.where(self.present, self._high + low, 0.0)
