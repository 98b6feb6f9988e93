"""Keeps the newest exemplar of each range of values of a family's series, of all processes."""

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np

from perfsdk.store.exemplars import SLOT_CELLS, read_exemplar
from perfsdk_exporter.families import Exemplar
from perfsdk_exporter.segments.cells import gather
from perfsdk_exporter.segments.descriptions import Member
from perfsdk_exporter.segments.rows import Placement

_TIME = 4
"""Where a slot has its time."""


class NewestExemplars:
    """The exemplars of one family by row, kept from one collection to the next.

    Those of processes that are gone stay until newer ones come.
    """

    def __init__(self) -> None:
        self._times = np.zeros(0)
        self._by_row: dict[int, dict[int, Exemplar]] = {}

    def update(self, placed: Iterable[tuple[Member, Placement]], pairs: int) -> set[int]:
        """Take newer ones of `pairs` pairs of slots in all; the rows that have some."""
        self._times = np.append(self._times, np.zeros(pairs - len(self._times)))
        rows = set()
        for member, placement in placed:
            numbers = placement.pair_numbers
            if not len(numbers):
                continue
            values = member.snapshot.values
            slots = (placement.pair_cells + slot for slot in (0, SLOT_CELLS))
            times = np.fmax(*(gather(values, slot + _TIME, 1)[:, 0] for slot in slots))
            for i in np.flatnonzero(times > self._times[numbers]).tolist():
                read = read_exemplar(values.data, int(placement.pair_cells[i]))
                if read is None or read[3] <= self._times[numbers[i]]:
                    continue  # torn, or only one of its slots was newer
                self._times[numbers[i]] = read[3]
                row = int(placement.pair_rows[i])
                self._by_row.setdefault(row, {})[int(numbers[i])] = Exemplar(*read)
                rows.add(row)
        return rows

    def of(self, row: int, bounds: tuple[float, ...]) -> tuple[Exemplar, ...]:
        """Those of a row, ascending, the newest one of each bucket."""
        exemplars = self._by_row.get(row)
        if exemplars is None:
            return ()
        newest: dict[int, Exemplar] = {}
        for exemplar in sorted(exemplars.values(), key=lambda one: one.time):
            newest[bisect_left(bounds, exemplar.value)] = exemplar
        return tuple(newest[bucket] for bucket in sorted(newest))
