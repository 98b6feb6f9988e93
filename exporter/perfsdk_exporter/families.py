"""What a page shows, the same for every format: families of series with their totals."""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Labels = tuple[str, ...]


@dataclass(slots=True)
class Histogram:
    """The observations of one series.

    `buckets` are counts, not cumulative: one a bound of the family and one for what is above
    all bounds.
    """

    buckets: list[float]
    sum: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric with its series, by label values in the order of `labels`.

    `name` is the one on the text page: that of a counter ends in `_total`. Only a histogram has
    `histograms` and `bounds` (without `+Inf`), only the others have `values`.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()
    values: dict[Labels, float] = field(default_factory=dict)
    histograms: dict[Labels, Histogram] = field(default_factory=dict)

    @property
    def series_count(self) -> int:
        return len(self.values) + len(self.histograms)
