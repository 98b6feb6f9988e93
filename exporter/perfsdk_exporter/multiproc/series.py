"""Which series the keys of all files name, and the families that their totals make."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from perfsdk_exporter.families import Family, Histogram, Kind, Labels
from perfsdk_exporter.multiproc.files import Indices, Reals, ValuesFile
from perfsdk_exporter.multiproc.keys import Entry, Part, UnpresentableError, parse_key
from perfsdk_exporter.multiproc.totals import Flags

NOWHERE = 0
"""The slot of what no page can show; its total is always 0."""


class Slots:
    """A slot for every number of every series of all files; each key is parsed once."""

    def __init__(self) -> None:
        self.families: dict[tuple[str, Kind, str], FamilyRows] = {}
        self._family_of: list[FamilyRows | None] = [None]
        self._is_count = [False]
        self._by_key: dict[tuple[str, str], dict[bytes, int]] = {}
        self._refusals: dict[bytes, str] = {}

    def __len__(self) -> int:
        return len(self._family_of)

    def place(self, file: ValuesFile, keys: Sequence[bytes]) -> tuple[list[int], str]:
        """The slots of new entries, and why some of them are NOWHERE.

        Raises:
            UnusableError: prometheus_client does not write such keys.
        """
        # Gauges of one series a process share no slots with other files.
        kind_and_mode = file.kind, file.mode
        known = {} if file.mode == "all" else self._by_key.setdefault(kind_and_mode, {})
        slots = [
            slot if slot is not None else known.setdefault(key, self._slot(file, key))
            for key, slot in zip(keys, map(known.get, keys), strict=True)
        ]
        if NOWHERE not in slots:
            return slots, ""
        return slots, self._refusals[keys[slots.index(NOWHERE)]]

    def are_counts(self, slots: Indices) -> Flags:
        """Which of the slots hold numbers of observations."""
        flags: Flags = np.array(self._is_count, np.bool_)[slots]
        return flags

    def families_of(self, slots: Iterable[int]) -> list["FamilyRows"]:
        """The families that these slots belong to, each once."""
        found = dict.fromkeys(map(self._family_of.__getitem__, slots))
        return [family for family in found if family is not None]

    def _slot(self, file: ValuesFile, key: bytes) -> int:
        try:
            entry = parse_key(key, file.kind, file.mode, file.process)
        except UnpresentableError as refusal:
            self._refusals[key] = str(refusal)
            return NOWHERE
        name = entry.family, entry.kind, entry.mode
        family = self.families.get(name)
        if family is None:
            family = self.families[name] = FamilyRows(*name, entry.help)
        new = len(self)
        slot = family.slot(entry, new)
        if slot == new:
            self._family_of.append(family)
            self._is_count.append(entry.part == "count" or isinstance(entry.part, float))
        return slot


class _Row(NamedTuple):
    names: Labels
    slots: dict[Part, int]


@dataclass(slots=True, eq=False)
class FamilyRows:
    """The series of one metric and the slots of their numbers.

    `shown` is the family as the page has it; it stays the same object while nothing in it
    changes, and so does every histogram in it.
    """

    name: str
    kind: Kind
    mode: str
    help: str
    shown: Family | None = None
    _rows: dict[tuple[tuple[str, str], ...], _Row] = field(default_factory=dict)
    _labels: list[Labels] = field(default_factory=list)
    _matrix: Indices = field(default_factory=lambda: np.zeros((0, 1), np.int32))

    def slot(self, entry: Entry, new: int) -> int:
        """The slot of this number; `new` when it has none yet."""
        # On a page a label without a value is one that is not there.
        pairs = tuple(
            pair for pair in zip(entry.labels, entry.values, strict=True) if pair[1] != ""
        )
        row = self._rows.setdefault(pairs, _Row(entry.labels, {}))
        return row.slots.setdefault(entry.part, new)

    def arrange(self, present: Flags, numbers: Reals) -> None:
        """Series or bounds came or went: decide labels, bounds and order again."""
        rows = {}
        for pairs, row in self._rows.items():
            slots = {part: slot for part, slot in row.slots.items() if present[slot]}
            if slots:
                rows[pairs] = _Row(row.names, slots)
        labels = tuple(sorted({name for row in rows.values() for name in row.names}))
        bounds = self._bounds(row.slots for row in rows.values())
        parts = self._parts(bounds)
        table = sorted(
            (tuple(dict(pairs).get(name, "") for name in labels), _slots(row, parts))
            for pairs, row in rows.items()
        )
        self._labels = [values for values, _ in table]
        self._matrix = np.array([slots for _, slots in table], np.int32).reshape(-1, len(parts))
        if not table:
            self.shown = None
            return
        family = Family(
            name=self.name, kind=self.kind, unit="", help=self.help, labels=labels, bounds=bounds
        )
        before = self.shown
        if before is None or (before.labels, before.bounds) != (labels, bounds):
            before = family  # nothing that was written for its series is of use
        everything = np.arange(len(table))
        values, histograms = self._series(before, everything, numbers)
        self.shown = replace(family, values=values, histograms=histograms)

    def update(self, differs: Flags, numbers: Reals) -> None:
        """Values changed: make the series anew that have them."""
        rows = np.flatnonzero(differs[self._matrix].any(axis=1))
        if self.shown is None or not len(rows):
            return
        old = self.shown
        values, histograms = self._series(old, rows, numbers)
        self.shown = replace(
            old,
            values={**old.values, **values},
            histograms={**old.histograms, **histograms},
        )

    def _bounds(self, rows: Iterable[dict[Part, int]]) -> tuple[float, ...]:
        if self.kind != "histogram":
            return ()
        found = {part for slots in rows for part in slots if isinstance(part, float)}
        return tuple(sorted(found - {math.inf}))

    def _parts(self, bounds: tuple[float, ...]) -> tuple[Part, ...]:
        if self.kind == "histogram":
            return (*bounds, math.inf, "sum")
        return ("count", "sum") if self.kind == "summary" else ("value",)

    def _series(
        self, before: Family, rows: NDArray[np.intp], numbers: Reals
    ) -> tuple[dict[Labels, float], dict[Labels, Histogram]]:
        """The series of these rows, histograms that are the same as `before` themselves."""
        table = numbers[self._matrix[rows]].tolist()
        labels = [self._labels[row] for row in rows.tolist()]
        if self.kind not in ("histogram", "summary"):
            return {key: cells[0] for key, cells in zip(labels, table, strict=True)}, {}
        histograms = {}
        for key, cells in zip(labels, table, strict=True):
            new = Histogram(cells[:-1], cells[-1])
            known = before.histograms.get(key)
            histograms[key] = known if known is not None and known == new else new
        return {}, histograms


def _slots(row: _Row, parts: tuple[Part, ...]) -> list[int]:
    return [row.slots.get(part, NOWHERE) for part in parts]
