"""What a page shows, the same for every format: families of series with their totals."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram", "summary", "unknown"]
Labels = tuple[str, ...]


class Exemplar(NamedTuple):
    """One observation and the trace in which it was made.

    `trace_id` and `span_id` in hexadecimal; `time` in seconds since the epoch.
    """

    trace_id: str
    span_id: str
    value: float
    time: float


class Native(NamedTuple):
    """The same observations in native (exponential) buckets of schema 3.

    `buckets` maps the index of a bucket to its count, ascending, none of them 0: bucket i holds
    what is > 2**((i - 1) / 8) and <= 2**(i / 8). `zero` counts what is not above 0.
    """

    zero: float
    buckets: dict[int, float]


@dataclass(slots=True)
class Histogram:
    """The observations of one series; of a summary `buckets` is their number alone.

    `buckets` are counts, not cumulative: one a bound of the family and one for what is above
    all bounds. `exemplars` ascend by value, at most one a bucket. Nobody changes a histogram
    that is in a family: one with new observations is another object. So what a format wrote for
    it can be kept in `chunks`, by the name of the format, for as long as it lives.
    """

    buckets: list[float]
    sum: float
    native: Native | None = None
    exemplars: tuple[Exemplar, ...] = ()
    chunks: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric with its series, by label values in the order of `labels`.

    `name` is the one on the text page: that of a counter ends in `_total`. Only a histogram has
    `bounds` (without `+Inf`), only a histogram and a summary have `histograms`, the others have
    `values`. Both are in the order of the label values. `page` is where it belongs.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: Labels = ()
    bounds: tuple[float, ...] = ()
    values: dict[Labels, float] = field(default_factory=dict)
    histograms: dict[Labels, Histogram] = field(default_factory=dict)
    page: str = "metrics"

    @property
    def series_count(self) -> int:
        return len(self.values) + len(self.histograms)
