"""Numbers the series of a family, so that what all processes recorded adds up as arrays."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from perfsdk.store.series import PLACE_BYTES
from perfsdk_exporter.families import Labels
from perfsdk_exporter.segments.cells import Mask, Numbers, Reals, add_exactly
from perfsdk_exporter.segments.descriptions import Member
from perfsdk_exporter.segments.discovery import SeriesGroup

T = TypeVar("T")

_SPARE = 1000
"""Rows that nobody fills any more, before the table is made again."""


class Placement:
    """Where the series of one metric in one segment belong: `cells[i]` to row `rows[i]`.

    A series may be described twice; `parts` select series so that no row occurs twice in one.
    Native buckets: the 8 cells at `block_cells[i]` belong to series `block_series[i]` and to
    slot `block_slots[i]` of the family, which others may share. Exemplars: the pair of slots at
    `pair_cells[i]` belongs to row `pair_rows[i]` and to pair `pair_numbers[i]` of the family.

    Of histograms, for each series as it was last added up: `valid`, whether a process can write
    it; `missing`, by how much its native buckets were behind its others; `restless`, whether
    they may still catch up. `is_added`: whether all of them are in the totals.
    """

    def __init__(self, group: SeriesGroup) -> None:
        self.group = group
        self.described = -1
        self.rows: Numbers = np.empty(0, np.intp)
        self.cells: Numbers = np.empty(0, np.intp)
        self.parts: Sequence[Mask] = ()
        self.block_series: Numbers = np.empty(0, np.intp)
        self.block_cells: Numbers = np.empty(0, np.intp)
        self.block_slots: Numbers = np.empty(0, np.intp)
        self.shares_slots = False
        self.pair_rows: Numbers = np.empty(0, np.intp)
        self.pair_cells: Numbers = np.empty(0, np.intp)
        self.pair_numbers: Numbers = np.empty(0, np.intp)
        self.valid: Mask = np.empty(0, np.bool_)
        self.missing: Reals = np.empty(0)
        self.restless: Mask = np.empty(0, np.bool_)
        self.is_added = False


class Rows:
    """The rows of one family, one for each set of label values that any process has.

    Kept between collections: a segment's series are placed once, later only what was added.
    """

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self.slots: list[tuple[int, int]] = []
        """The row and the block number of each slot of native buckets."""
        self.left: list[Numbers] = []
        """The rows of each placement that was forgotten when members were last placed."""
        self._numbers: dict[Labels, int] = {}
        self._slot_numbers: dict[tuple[int, int], int] = {}
        self._pair_numbers: dict[tuple[int, int], int] = {}
        self._places: Numbers = np.empty((0, 2), np.intp)
        self._placements: dict[int, Placement] = {}
        self._order: list[int] = []

    def place(self, members: Iterable[Member]) -> list[tuple[Member, Placement]]:
        """The placement of each member, up to date; those of others are forgotten."""
        before, self._placements = self._placements, {}
        placed = []
        for member in members:
            # A placement keeps its group alive, so the id is never another group's.
            key = id(member.group)
            placement = self._placements[key] = before.get(key) or Placement(member.group)
            series = len(member.group.series)
            if placement.described != member.snapshot.described or len(placement.rows) != series:
                self._update(member, placement)
                placement.described = member.snapshot.described
            placed.append((member, placement))
        self.left = [before[key].rows for key in before.keys() - self._placements.keys()]
        return placed

    def by_labels(self, values: "Reals | Sequence[T]", filled: Mask) -> "dict[Labels, T]":
        """What the filled rows hold, in the order of their label values."""
        if len(self._order) != len(self.labels):
            self._order = sorted(range(len(self.labels)), key=self.labels.__getitem__)
        labels, chosen = self.labels, filled.tolist()
        found = values.tolist() if isinstance(values, np.ndarray) else values
        return {labels[row]: found[row] for row in self._order if chosen[row]}

    @property
    def pairs(self) -> int:
        """How many pairs of slots for exemplars there are: one a row and range of values."""
        return len(self._pair_numbers)

    def slot_places(self) -> Numbers:
        """Row and block number of each slot, as two columns."""
        if len(self._places) != len(self.slots):
            self._places = np.array(self.slots, np.intp).reshape(-1, 2)
        return self._places

    def is_wasteful(self, filled: int) -> bool:
        """Whether most rows belong to series that are gone."""
        return len(self.labels) > 2 * filled + _SPARE

    def _update(self, member: Member, placement: Placement) -> None:
        series = placement.group.series
        known = len(placement.rows)
        if len(series) > known:
            new = series[known:]
            numbers = [self._number(member.labels_of(one)) for one in new]
            if member.positions is None:
                for one, number in zip(new, numbers, strict=True):
                    one.labels = self.labels[number]  # one copy of the text for all segments
            placement.rows = np.append(placement.rows, np.array(numbers, np.intp))
            placement.cells = np.append(
                placement.cells, np.array([one.cell for one in new], np.intp)
            )
            placement.parts = _without_repeats(placement.rows)
            placement.valid = np.append(placement.valid, np.zeros(len(new), np.bool_))
            placement.missing = np.append(placement.missing, np.zeros(len(new)))
            placement.restless = np.append(placement.restless, np.zeros(len(new), np.bool_))
        placement.is_added = False
        if placement.group.metric.native:
            self._place_blocks(placement)
        if placement.group.metric.kind == "histogram":
            self._place_exemplars(placement)

    def _place_blocks(self, placement: Placement) -> None:
        series, blocks, cells = _unpacked([one.block_places for one in placement.group.series])
        slots = map(self._slot, zip(placement.rows[series].tolist(), blocks.tolist(), strict=True))
        placement.block_series, placement.block_cells = series, cells
        placement.block_slots = np.fromiter(slots, np.intp, len(series))
        placement.shares_slots = len(np.unique(placement.block_slots)) < len(series)

    def _place_exemplars(self, placement: Placement) -> None:
        series, ranges, cells = _unpacked([one.exemplar_places for one in placement.group.series])
        rows = placement.rows[series]
        pairs = map(self._pair, zip(rows.tolist(), ranges.tolist(), strict=True))
        placement.pair_rows, placement.pair_cells = rows, cells
        placement.pair_numbers = np.fromiter(pairs, np.intp, len(series))

    def _pair(self, place: tuple[int, int]) -> int:
        return self._pair_numbers.setdefault(place, len(self._pair_numbers))

    def _number(self, labels: Labels) -> int:
        number = self._numbers.get(labels)
        if number is None:
            number = self._numbers[labels] = len(self.labels)
            self.labels.append(labels)
        return number

    def _slot(self, place: tuple[int, int]) -> int:
        slot = self._slot_numbers.get(place)
        if slot is None:
            slot = self._slot_numbers[place] = len(self.slots)
            self.slots.append(place)
        return slot


class ExactSum:
    """Sums of reals with twice their precision, so that their order does not change them.

    A total that was rounded in another order could be less than before, and Prometheus takes a
    counter that goes down for one that began again.
    """

    def __init__(self, size: int) -> None:
        self._high = np.zeros(size)
        self._low = np.zeros(size)

    def add(self, rows: Numbers, values: Reals) -> None:
        """Add to rows of which none occurs twice."""
        add_exactly(self._high, self._low, rows, values)

    def totals(self) -> Reals:
        return self._high + self._low


def _without_repeats(rows: Numbers) -> Sequence[Mask]:
    parts, left = [], np.arange(len(rows))
    while len(left):
        _, first = np.unique(rows[left], return_index=True)
        part = np.zeros(len(rows), np.bool_)
        part[left[first]] = True
        parts.append(part)
        left = np.delete(left, first)
    return parts


def _unpacked(places: Sequence[bytes]) -> tuple[Numbers, Numbers, Numbers]:
    """Of all packed places the index of their series, the number and the cell."""
    numbers, cells = np.frombuffer(b"".join(places), np.int64).reshape(-1, 2).T
    series = np.repeat(np.arange(len(places)), [len(packed) // PLACE_BYTES for packed in places])
    return series, numbers, cells
