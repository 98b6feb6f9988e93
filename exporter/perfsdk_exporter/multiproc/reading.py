"""What prometheus_client's MultiProcessCollector would show, from the same files, at our speed."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from perfsdk_exporter.families import Family
from perfsdk_exporter.multiproc.files import Buffer, Indices, Reals, UnusableError, ValuesFile
from perfsdk_exporter.multiproc.series import NOWHERE, FamilyRows, Slots
from perfsdk_exporter.multiproc.totals import Flags, Totals
from perfsdk_exporter.segments.discovery import Unreadable

_MAX_COUNT = 2.0**53
"""Counts are exact up to here; no process gets there."""

_MAX_SAME_SERIES = 100
"""More often no file names one series, which it does when help texts differ."""

_QUIET_READS = 2
"""Files that were the same so often are added up once for all."""

_MAX_QUIET_APART = 8
"""So many quiet files may wait before the sum of quiet files is made again."""


@dataclass(slots=True)
class _Member:
    """A file, the slots of its entries, and in which rounds they are added: a slot once in each."""

    file: ValuesFile
    slots: Indices = field(default_factory=lambda: np.zeros(0, np.int32))
    counts: Flags = field(default_factory=lambda: np.zeros(0, np.bool_))
    rounds: list[Indices] = field(default_factory=list)
    refused: str = ""
    quiet_reads: int = 0

    def add_to(self, totals: Totals) -> None:
        values, times = self.file.values, self.file.times
        for positions in self.rounds:
            slots = self.slots[positions]
            own_times = times[positions] if len(times) else times
            totals.add(self.file.mode, slots, values[positions], own_times)


class MultiprocFiles:
    """The `*.db` files of a directory between two readings. Not safe for threads.

    Names, help texts, labels and the modes of gauges are as MultiProcessCollector has them, and
    so are totals but for the last bit of a sum of reals, which is rounded once here. It differs
    where that is of use: a damaged file costs its own numbers, not the page; `+Inf`, `_count`
    and `_sum` of a histogram always come together, with all bounds of its family; where
    processes disagree on kind or mode of a metric, the files that changed last decide; a
    process that calls itself something with an underscore is shown by its whole name.

    Nothing in the directory is ever changed. A file that did not change is read again, since its
    times do not tell, but neither parsed nor added up again.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self._directory = Path(directory)
        self._buffer = Buffer()
        self._forget()

    def _forget(self) -> None:
        self._members: dict[str, _Member] = {}
        self._slots = Slots()
        self._numbers: Reals = np.zeros(1)
        self._present: Flags = np.zeros(1, np.bool_)
        self._quiet = Totals(1)
        self._quiet_names: set[str] = set()
        self._shown: list[Family] = []
        self._overruled: list[Unreadable] = []

    def read(self) -> tuple[list[Family], list[Unreadable]]:
        """All families by name, and the files of which something is not in them."""
        if len(self._slots) > 1000 + 2 * int(self._present.sum()):
            self._forget()  # most of what is known is of files that went away
        changed, unreadable = self._take_files()
        if changed:
            self._add_up()
            self._decide()
        for member in self._members.values():
            if member.refused:
                unreadable.append(Unreadable(member.file.path, member.refused))
        return list(self._shown), unreadable + self._overruled

    def _take_files(self) -> tuple[bool, list[Unreadable]]:
        unreadable: list[Unreadable] = []
        names: list[str] = []
        try:
            directory = os.stat(self._directory)
            names = sorted(name for name in os.listdir(self._directory) if _is_named(name))
        except FileNotFoundError:
            pass
        except OSError as error:
            unreadable.append(Unreadable(self._directory, error.strerror or str(error)))
        changed = False
        for name in self._members.keys() - set(names):
            del self._members[name]
            changed = True
        for name in names:
            known = self._members.pop(name, None)
            try:
                member, news = self._take(name, known, directory)
            except FileNotFoundError:
                changed |= known is not None  # a process was marked dead meanwhile
            except (UnusableError, OSError) as error:
                changed |= known is not None
                reason = getattr(error, "strerror", None) or str(error)
                unreadable.append(Unreadable(self._directory / name, reason))
            else:
                member.quiet_reads = 0 if news else member.quiet_reads + 1
                changed |= news
                self._members[name] = member
        return changed, unreadable

    def _take(
        self, name: str, member: _Member | None, directory: os.stat_result
    ) -> tuple[_Member, bool]:
        """Read a file again, or for the first time; whether it has other numbers now.

        Raises:
            UnusableError, OSError: nothing of it can be used.
        """
        replaced = False
        keys: list[bytes] = []
        if member is not None:
            try:
                keys, changed = member.file.refresh(self._buffer, directory)
            except UnusableError:
                member, replaced = None, True  # as a new file it may be usable
        if member is None:
            member = _Member(ValuesFile(self._directory / name))
            keys, changed = member.file.refresh(self._buffer, directory)
        if keys:
            self._place(member, keys)
        if changed and not _are_counts(member.file.values[member.counts]):
            raise UnusableError("garbled: a count that no process writes")
        return member, changed or replaced

    def _place(self, member: _Member, keys: list[bytes]) -> None:
        """Find the slots of new entries."""
        slots, refusal = self._slots.place(member.file, keys)
        if refusal:
            member.refused = f"some series are not shown: {refusal}"
        member.slots = np.concatenate((member.slots, np.array(slots, np.int32)))
        member.counts = self._slots.are_counts(member.slots)
        member.rounds = _rounds(member.slots)

    def _add_up(self) -> None:
        size = len(self._slots)
        quiet = {n for n, member in self._members.items() if member.quiet_reads >= _QUIET_READS}
        if not self._quiet_names <= quiet or len(quiet) > len(self._quiet_names) + _MAX_QUIET_APART:
            self._quiet, self._quiet_names = Totals(size), quiet
            for name in quiet:
                self._members[name].add_to(self._quiet)
        totals = self._quiet.grown(size)
        for name in self._members.keys() - self._quiet_names:
            self._members[name].add_to(totals)
        self._update(totals.numbers(), totals.present)

    def _update(self, numbers: Reals, present: Flags) -> None:
        known = len(self._numbers)
        differs = np.ones(len(numbers), np.bool_)
        differs[:known] = numbers[:known].view(np.uint64) != self._numbers.view(np.uint64)
        moved = present.copy()
        moved[:known] = present[:known] != self._present
        self._numbers, self._present = numbers, present
        arranged = set(self._slots.families_of(np.flatnonzero(moved).tolist()))
        for family in arranged:
            family.arrange(present, numbers)
        for family in self._slots.families_of(np.flatnonzero(differs).tolist()):
            if family not in arranged:
                family.update(differs, numbers)

    def _decide(self) -> None:
        """What is shown: a name is one family's, that of the file which changed last."""
        by_name: dict[str, list[FamilyRows]] = {}
        for family in self._slots.families.values():
            if family.shown is not None:
                by_name.setdefault(family.name, []).append(family)
        self._shown = []
        self._overruled = []
        for _, families in sorted(by_name.items()):
            family = families[0] if len(families) == 1 else self._newest(families)
            if family.shown is not None:
                self._shown.append(family.shown)

    def _newest(self, disagreeing: list[FamilyRows]) -> FamilyRows:
        """One of several families of the same name; the files of the others are named."""
        found = []
        for member in self._members.values():
            kinds = [
                f for f in disagreeing if (f.kind, f.mode) == (member.file.kind, member.file.mode)
            ]
            if kinds and kinds[0] in self._slots.families_of(np.unique(member.slots).tolist()):
                found.append((member.file.modified_ns, member.file.path, kinds[0]))
        _, _, newest = max(found, key=lambda one: one[:2])
        for _, path, family in found:
            if family is not newest:
                reason = f"{family.name} has another type or mode in newer files"
                self._overruled.append(Unreadable(path, reason))
        return newest


def _is_named(name: str) -> bool:
    return name.endswith(".db") and not name.startswith(".")


def _are_counts(values: Reals) -> bool:
    # Of NaN no comparison is true.
    return bool(np.all((values >= 0.0) & (values <= _MAX_COUNT) & (values == np.floor(values))))


def _rounds(slots: Indices) -> list[Indices]:
    """Positions of all slots but NOWHERE, so that no round has a slot twice.

    Raises:
        UnusableError: the same series far too often.
    """
    rounds: list[Indices] = []
    left = np.flatnonzero(slots != NOWHERE).astype(np.int32)
    while len(left):
        if len(rounds) == _MAX_SAME_SERIES:
            raise UnusableError("garbled: the same series again and again")
        _, first = np.unique(slots[left], return_index=True)
        rounds.append(left[np.sort(first)])
        left = np.delete(left, first)
    return rounds
