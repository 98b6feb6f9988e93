"""Adds up the histograms of all processes; one that did not change is the same object again."""

from collections.abc import Iterable

import numpy as np

from perfsdk.store.format import NATIVE_BUCKETS_PER_BLOCK
from perfsdk_exporter.families import Histogram, Labels, Native
from perfsdk_exporter.segments.cells import Mask, Numbers
from perfsdk_exporter.segments.descriptions import Agreement, LeftOut, Member, report_invalid
from perfsdk_exporter.segments.exemplars import NewestExemplars
from perfsdk_exporter.segments.histogram_reading import changed, read
from perfsdk_exporter.segments.histogram_totals import Counts, Totals
from perfsdk_exporter.segments.rows import ExactSum, Placement, Rows

_NOTHING = Histogram([], 0.0)


class Histograms:
    """The histograms of one family, kept from one collection to the next.

    A row is added up again when one of its series changed, came or went away: a collection
    costs what happened since the one before.
    """

    def __init__(self) -> None:
        self.rows = Rows()
        self._exemplars = NewestExemplars()
        self._totals: Totals | None = None
        self._shown: list[Histogram] = []

    def combine(self, agreement: Agreement, left_out: list[LeftOut]) -> dict[Labels, Histogram]:
        """The totals by label values, in their order."""
        placed = self.rows.place(agreement.members)
        native = all(member.group.metric.native for member in agreement.members)
        totals = self._totals
        if totals is None or totals.is_native != native:
            totals = self._totals = Totals(len(agreement.bounds) + 1, native=native)
            for _, placement in placed:
                placement.is_added = False
        totals.grow(len(self.rows.labels), len(self.rows.slots))
        is_changed = self._add_up(totals, placed)
        for member, placement in placed:
            report_invalid(left_out, agreement, member.snapshot, placement.valid)
        is_changed[list(self._exemplars.update(placed, self.rows.pairs))] = True
        self._renew(totals, np.flatnonzero(is_changed & totals.filled), agreement.bounds)
        return self.rows.by_labels(self._shown, totals.filled)

    def _add_up(self, totals: Totals, placed: Iterable[tuple[Member, Placement]]) -> Mask:
        """Add up what may have changed; the rows that are not what they were."""
        stale = self._stale(placed)
        rows, slots = np.flatnonzero(stale), np.flatnonzero(stale[self.rows.slot_places()[:, 0]])
        before = totals.at(rows, slots)
        totals.clear(rows, slots)
        sums = ExactSum(len(stale))
        for member, placement in placed:
            at = np.flatnonzero(stale[placement.rows])
            if len(at):
                reading = read(member, placement, at, native=totals.is_native)
                totals.add(member, placement, at, reading, sums)
            placement.is_added = True
        totals.sums[rows] = sums.totals()[rows]
        return self._differing(before, totals.at(rows, slots), rows, slots)

    def _stale(self, placed: Iterable[tuple[Member, Placement]]) -> Mask:
        stale: Mask = np.zeros(len(self.rows.labels), np.bool_)
        for rows in self.rows.left:
            stale[rows] = True
        for member, placement in placed:
            if placement.is_added:
                stale[placement.rows[changed(member, placement)]] = True
            else:
                stale[placement.rows] = True
        return stale

    def _differing(self, before: Counts, after: Counts, rows: Numbers, slots: Numbers) -> Mask:
        differing: Mask = np.zeros(len(self.rows.labels), np.bool_)
        differing[rows] = (
            (before.buckets != after.buckets).any(axis=1)
            | (before.sums != after.sums)
            | (before.zeros != after.zeros)
            | (before.native != after.native)
            | (before.filled != after.filled)
        )
        others = slots[(before.slots != after.slots).any(axis=1)]
        differing[self.rows.slot_places()[others, 0]] = True
        return differing

    def _renew(self, totals: Totals, rows: Numbers, bounds: tuple[float, ...]) -> None:
        """Make the histograms of these rows."""
        self._shown += [_NOTHING] * (len(self.rows.labels) - len(self._shown))
        natives = self._natives(totals, rows) if totals.is_native and len(rows) else {}
        for row, buckets, total in zip(
            rows.tolist(),
            totals.buckets[rows].tolist(),
            totals.sums[rows].tolist(),
            strict=True,
        ):
            exemplars = self._exemplars.of(row, bounds)
            self._shown[row] = Histogram(buckets, total, natives.get(row), exemplars)

    def _natives(self, totals: Totals, changed: Numbers) -> dict[int, Native]:
        places = self.rows.slot_places()
        wanted = np.zeros(len(self.rows.labels), np.bool_)
        wanted[changed] = totals.native[changed]
        chosen = np.flatnonzero(wanted)
        zeros = totals.zeros[chosen].tolist()
        natives = {row: Native(zero, {}) for row, zero in zip(chosen.tolist(), zeros, strict=True)}
        slots = np.flatnonzero(wanted[places[:, 0]])
        slots = slots[np.lexsort((places[slots, 1], places[slots, 0]))]
        counts = totals.slots[slots]
        of, bucket = np.nonzero(counts)
        rows, blocks = places[slots].T
        for row, index, count in zip(
            rows[of].tolist(),
            (blocks[of] * NATIVE_BUCKETS_PER_BLOCK + bucket).tolist(),
            counts[of, bucket].tolist(),
            strict=True,
        ):
            natives[row].buckets[index] = count
        return natives
