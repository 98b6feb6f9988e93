"""What the processes agree a metric is; the newest started one decides where they differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from perfsdk.store.description import MetricRecord
from perfsdk.store.series import SeriesRecord
from perfsdk_exporter.families import Labels
from perfsdk_exporter.segments.cells import Mask
from perfsdk_exporter.segments.discovery import SegmentSnapshot, SeriesGroup

Reason = Literal["conflict", "invalid", "unsupported", "clash"]

REASONS: tuple[Reason, ...] = get_args(Reason)


class LeftOut(NamedTuple):
    """Series of one metric of one segment that the page of the metric does not show.

    `conflict`: a newer process describes the metric in another way; `invalid`: a value or a
    description that no process writes; `unsupported`: a merge rule or a page of a newer version;
    `clash`: another metric has the name of one of the samples (then there is no `path`).
    """

    path: Path | None
    metric: str
    reason: Reason
    series: int
    page: str = "metrics"


@dataclass(frozen=True, slots=True)
class Member:
    """The series of a metric in one segment, and where the family's labels are in them."""

    snapshot: SegmentSnapshot
    group: SeriesGroup
    positions: tuple[int, ...] | None
    """For each label of the family its index in the segment's; -1: it has none. None: same."""
    spans: tuple[tuple[int, int], ...] | None
    """For each bucket of the family the segment's buckets that are in it. None: same."""

    def labels_of(self, series: SeriesRecord) -> Labels:
        """The label values in the order of the family; a missing label is empty."""
        if self.positions is None:
            return series.labels
        return tuple(series.labels[i] if i >= 0 else "" for i in self.positions)


class Agreement(NamedTuple):
    """The description that counts, and who shares it, newest started first."""

    metric: MetricRecord
    labels: Labels
    bounds: tuple[float, ...]
    members: Sequence[Member]


def agree(
    described: Sequence[tuple[SegmentSnapshot, SeriesGroup]], left_out: list[LeftOut]
) -> Agreement:
    """Settle one metric; `described` is not empty and starts with the newest process.

    Kind, unit and merge rule must be the newest one's. Labels may be a part of the others' or
    more than those: neighbouring versions of the SDK differ by added labels.
    """
    newest = described[0][1].metric
    labels = newest.labels
    agreeing = []
    for snapshot, group in described:
        wider = _common_labels(labels, group.metric.labels)
        if wider is None or not _same_quantity(newest, group.metric):
            left_out.append(
                LeftOut(snapshot.path, newest.name, "conflict", len(group.series), newest.page)
            )
        else:
            labels = wider
            agreeing.append((snapshot, group))
    bounds = _shared_bounds([group.metric.bounds for _, group in agreeing])
    members = [
        Member(
            snapshot,
            group,
            _positions(labels, group.metric.labels),
            _spans(bounds, group.metric.bounds),
        )
        for snapshot, group in agreeing
    ]
    return Agreement(newest, labels, bounds, members)


def report_invalid(
    left_out: list[LeftOut], agreement: Agreement, snapshot: SegmentSnapshot, valid: Mask
) -> None:
    """Report the series of a segment that are not valid, if there are any."""
    invalid = len(valid) - int(np.count_nonzero(valid))
    if invalid:
        metric = agreement.metric
        left_out.append(LeftOut(snapshot.path, metric.name, "invalid", invalid, metric.page))


def _same_quantity(one: MetricRecord, other: MetricRecord) -> bool:
    if (one.kind, one.unit) != (other.kind, other.unit):
        return False
    return one.kind != "gauge" or one.merge == other.merge


def _common_labels(known: Labels, other: Labels) -> Labels | None:
    """The wider of two sets of labels when it contains the other one."""
    if known == other or set(other) <= set(known):
        return known
    if set(known) <= set(other):
        return known + tuple(label for label in other if label not in known)
    return None


def _positions(labels: Labels, own: Labels) -> tuple[int, ...] | None:
    if labels == own:
        return None
    return tuple(own.index(label) if label in own else -1 for label in labels)


def _shared_bounds(different: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    shared = set(different[0]).intersection(*different[1:])
    return tuple(bound for bound in different[0] if bound in shared)


def _spans(bounds: tuple[float, ...], own: tuple[float, ...]) -> tuple[tuple[int, int], ...] | None:
    if bounds == own:
        return None
    ends = [own.index(bound) + 1 for bound in bounds] + [len(own) + 1]
    return tuple(zip([0, *ends], ends, strict=False))
