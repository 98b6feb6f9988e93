"""What prometheus_client's families are in a segment; it imports nothing of that library."""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from perfsdk.catalog import METRICS, Merge, Metric
from perfsdk.recorder import MAX_LABEL_LENGTH

Labels = tuple[str, ...]
Rows = dict[Labels, list[float]]

MERGES: Mapping[str, Merge] = {
    "sum": "sum",
    "livesum": "sum",
    "min": "min",
    "livemin": "min",
    "max": "max",
    "livemax": "max",
    "mostrecent": "newest",
    "livemostrecent": "newest",
}
"""How a gauge's `multiprocess_mode` is called here."""

_MAX_VALUE = 1e300
_MAX_COUNT = 2.0**53
_SUFFIXES = ("", "_total", "_created", "_bucket", "_count", "_sum", "_info")
_OF_THE_PROCESS = (
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
    "python_gc_collections_total",
    "python_gc_objects_collected_total",
    "python_gc_objects_uncollectable_total",
    "python_info",
    "target_info",
)
_TAKEN = {*_OF_THE_PROCESS, *(metric.name for metric in METRICS)} | {
    f"{metric.name}{suffix}"
    for metric in METRICS
    if metric.kind == "histogram"
    for suffix in _SUFFIXES
}


class UnmirrorableError(Exception):
    """A segment cannot hold the family; the message says why."""


class Translated(NamedTuple):
    """A metric and the cells of its series; what is not cumulative has one cell."""

    metric: Metric
    rows: Rows


def is_ours(family: Any) -> bool:
    """Whether a sample of it could have the name of one of ours, or tells about the process."""
    name = _identifier(family.name)
    return name.startswith("perfsdk_") or any(f"{name}{suffix}" in _TAKEN for suffix in _SUFFIXES)


def translate(family: Any, *, mode: str = "", worker: str = "") -> list[Translated]:
    """The metrics that a family is here: one, or one for each set of bounds.

    A summary is a histogram without bounds, of unknown type is a gauge. Series with values that
    no segment may hold (not finite, a counter below 0, a part of an observation) are left out.
    `mode` is a gauge's own; one that has none takes `worker` as a label, so that every worker
    has a series, and without `worker` the largest value of all processes.

    Raises:
        UnmirrorableError: it is of a type that a segment does not know.
    """
    if family.type == "counter":
        rows, labels = _rows(family, "_total")
        rows = {key: row for key, row in rows.items() if 0.0 <= row[0] <= _MAX_VALUE}
        return [Translated(_metric(family, "_total", labels, kind="counter"), rows)]
    if family.type in ("histogram", "summary"):
        return _histograms(family)
    if family.type not in ("gauge", "unknown", "info", "stateset"):
        raise UnmirrorableError(f"a {family.type} has no place in a segment")
    suffix = "_info" if family.type == "info" else ""
    own = {} if mode in MERGES or suffix or not worker else {"worker": worker}
    rows, labels = _rows(family, suffix, own)
    # `max` beside a worker's own label too: what is not set yet is absent after a fork.
    merge = MERGES.get(mode, "max")
    rows = {key: row for key, row in rows.items() if math.isfinite(row[0])}
    return [Translated(_metric(family, suffix, labels, kind="gauge", merge=merge), rows)]


def _rows(family: Any, suffix: str, own: Mapping[str, str] | None = None) -> tuple[Rows, Labels]:
    """The values of the samples of one name, and their labels; of the same labels they add up."""
    samples = [sample for sample in family.samples if sample.name == f"{family.name}{suffix}"]
    labels = _names(samples, own or {})
    rows: Rows = {}
    for sample in samples:
        key = _values({**(own or {}), **sample.labels}, labels)
        if key in rows and family.type == "counter":
            rows[key][0] += float(sample.value)
        else:
            rows[key] = [float(sample.value)]
    return rows, _identifiers(labels)


def _histograms(family: Any) -> list[Translated]:
    """Series by their bounds: `[sum, bucket 0, ..., bucket n]`, not cumulative."""
    counts: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    names = tuple(name for name in _names(family.samples, {}) if name not in ("le", "quantile"))
    for sample in family.samples:
        key = _values(sample.labels, names)
        suffix = sample.name.removeprefix(family.name)
        if suffix == "_sum":
            sums[key] = sums.get(key, 0.0) + float(sample.value)
        elif suffix == ("_bucket" if family.type == "histogram" else "_count"):
            bound = float(sample.labels.get("le", "inf"))
            buckets = counts.setdefault(key, {})
            buckets[bound] = buckets.get(bound, 0.0) + float(sample.value)
    found: dict[tuple[float, ...], Rows] = {}
    for key, buckets in counts.items():
        *bounds, _ = sorted(buckets.keys() | {math.inf})
        row = [sums.get(key, 0.0), *_differences([buckets[bound] for bound in sorted(buckets)])]
        if len(row) == len(bounds) + 2 and abs(row[0]) <= _MAX_VALUE and _are_counts(row[1:]):
            found.setdefault(tuple(bounds), {})[key] = row
    labels = _identifiers(names)
    return [
        Translated(_metric(family, "", labels, kind="histogram", bounds=bounds), rows)
        for bounds, rows in found.items()
    ]


def _differences(cumulative: list[float]) -> list[float]:
    return [b - a for a, b in zip([0.0, *cumulative], cumulative, strict=False)]


def _are_counts(row: list[float]) -> bool:
    return all(0.0 <= count <= _MAX_COUNT and count.is_integer() for count in row)


def _metric(family: Any, suffix: str, labels: Labels, **description: Any) -> Metric:
    return Metric(
        name=_identifier(f"{family.name}{suffix}"),
        unit=_identifier(family.unit) if family.unit else "",
        help=str(family.documentation),
        labels=labels,
        **description,
    )


def _names(samples: Iterable[Any], own: Mapping[str, str]) -> Labels:
    return tuple(sorted({name for sample in samples for name in sample.labels} | own.keys()))


def _values(labels: Mapping[str, Any], names: Labels) -> Labels:
    """Label values that can be written: text, at most 120 characters, no lone surrogates."""
    values = (str(labels.get(name, ""))[:MAX_LABEL_LENGTH] for name in names)
    return tuple(value.encode("utf-8", "replace").decode() for value in values)


def _identifiers(names: Labels) -> Labels:
    labels = tuple(map(_identifier, names))
    if len(set(labels)) < len(labels) or any(label.startswith("__") for label in labels):
        raise UnmirrorableError("two labels have the same name, or one a reserved name")
    return labels


def _identifier(name: str) -> str:
    """The name with underscores for what older formats do not know."""
    escaped = re.sub("[^a-zA-Z0-9_]", "_", name)
    return f"_{escaped[1:]}" if escaped[:1].isdigit() else escaped
