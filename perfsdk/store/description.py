"""What a metric says about itself in a segment, and that a reader believes only what it checked."""

import math
from dataclasses import dataclass
from typing import Any, Protocol

from perfsdk.store.format import SCRATCH_CELLS

MAX_BOUNDS = 1000
KINDS = ("counter", "gauge", "histogram")
PAGES = ("metrics", "queries")
"""Where a metric may be shown. Of other pages, those of later versions, an exporter keeps the
totals and shows nothing."""


class Described(Protocol):
    """What a metric says about itself to the segment; `perfsdk.catalog.Metric` has it."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def help(self) -> str: ...
    @property
    def labels(self) -> tuple[str, ...]: ...
    @property
    def bounds(self) -> tuple[float, ...]: ...
    @property
    def merge(self) -> str: ...
    @property
    def native(self) -> bool: ...
    @property
    def page(self) -> str: ...


@dataclass(frozen=True, slots=True)
class MetricRecord:
    """A metric as its segment describes it; `bounds` without `+Inf`."""

    name: str
    kind: str
    unit: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...]
    merge: str
    native: bool
    page: str = "metrics"

    @property
    def cell_count(self) -> int:
        return cell_count(self)


def cell_count(metric: Described) -> int:
    """How many cells a series of the metric owns."""
    if metric.kind == "histogram":
        return len(metric.bounds) + 2 + metric.native
    return 2 if metric.merge == "newest" else 1


def describe(metric: Described) -> dict[str, Any]:
    """The metric as its record has it."""
    return {
        "name": metric.name,
        "kind": metric.kind,
        "unit": metric.unit,
        "help": metric.help,
        "labels": metric.labels,
        "bounds": metric.bounds,
        "merge": metric.merge,
        "native": metric.native,
        "page": metric.page,
    }


def parse_metric(description: dict[str, Any]) -> MetricRecord:
    """A metric record's description, checked.

    Raises:
        KeyError, TypeError, ValueError: it does not describe a metric.
    """
    metric = MetricRecord(
        name=_text(description["name"]),
        kind=_text(description["kind"]),
        unit=_text(description.get("unit", "")),
        help=_text(description.get("help", "")),
        labels=tuple(_text(label) for label in description["labels"]),
        bounds=tuple(float(bound) for bound in description["bounds"]),
        merge=_text(description.get("merge", "sum")),
        native=bool(description.get("native", False)),
        page=_text(description.get("page", "metrics")),
    )
    if metric.kind not in KINDS or len(metric.bounds) > MAX_BOUNDS:
        raise ValueError(metric.kind)
    ascending = all(a < b for a, b in zip(metric.bounds, metric.bounds[1:], strict=False))
    if not ascending or not all(map(math.isfinite, metric.bounds)):
        raise ValueError(metric.bounds)
    if not _is_name(metric.name) or not all(_is_name(label) for label in metric.labels):
        raise ValueError(metric.name)
    if len(set(metric.labels)) != len(metric.labels):
        raise ValueError(metric.labels)
    return metric


def check_metric(metric: Described) -> None:
    """Refuse to write what no reader would take, or what does not fit into the scratch cells.

    Raises:
        KeyError, TypeError, ValueError: it cannot be a metric.
    """
    parse_metric(describe(metric))
    if cell_count(metric) > SCRATCH_CELLS:
        raise ValueError(f"{metric.name} has more than {SCRATCH_CELLS} cells")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _is_name(name: str) -> bool:
    return name.isidentifier() and name.isascii()
