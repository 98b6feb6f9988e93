"""Writes PromQL over the catalog's metrics; the only file that knows how a histogram is stored."""

from collections.abc import Sequence
from typing import TypedDict

from perfsdk import catalog
from perfsdk.catalog import Metric

NOW = "$__rate_interval"
"""Window of a curve: long enough for the scrape interval, as Grafana works it out."""
ALL = "$__range"
"""Window of a table: the whole time range of the dashboard."""

SERVICE = (
    'cluster=~"$cluster"',
    'namespace=~"$namespace"',
    'job=~"$job"',
    'instance=~"$instance"',
)
ROUTE = 'http_route=~"$route"'

_SOME = "1e-9"
"""Less than the rate of a single event in ten years, and more than nothing."""

By = Sequence[str]


class Grouping(TypedDict):
    """The arguments `by` and `over` of the functions below, to hand to several of them."""

    by: By
    over: str


def over_all(*by: str) -> Grouping:
    """One value for each set of these labels, over the whole time range: a table's rows."""
    return {"by": by, "over": ALL}


def selector(name: str, *where: str) -> str:
    """The series of the chosen service, narrowed by matchers such as `band="tail"`."""
    return f"{name}{{{','.join((*where, *SERVICE))}}}"


def recorded(name: str, *where: str) -> str:
    """What a rule has recorded of the chosen services: it has no instance any more."""
    return f"{name}{{{','.join((*where, *SERVICE[:3]))}}}"


def aggregate(function: str, expr: str, by: By = ()) -> str:
    """`sum by (a) (expr)`, or `sum(expr)`."""
    return f"{function} by ({', '.join(by)}) ({expr})" if by else f"{function}({expr})"


def gauge(metric: Metric, *where: str, by: By = (), function: str = "sum") -> str:
    """The value of a gauge, aggregated."""
    return aggregate(function, selector(metric.name, *where), by)


def rate(metric: Metric, *where: str, by: By = (), over: str = NOW) -> str:
    """How much a counter grows a second."""
    return aggregate("sum", _rate(metric.name, where, over), by)


def grown(metric: Metric, *where: str, by: By = (), over: str = ALL) -> str:
    """How much a counter has grown; a series that appeared meanwhile counts from nothing.

    `increase()` takes the first value of a new series as its start, and so never shows an error
    that happened once.
    """
    total = aggregate("sum", selector(metric.name, *where), by)
    before = aggregate("sum", f"{selector(metric.name, *where)} offset {over}", by)
    return f"clamp_min({total} - ({before} or 0 * {total}), 0)"


def observations(metric: Metric, *where: str, by: By = (), over: str = NOW) -> str:
    """Observations of a histogram a second: requests, operations."""
    return aggregate("sum", _each(metric, "count", where, over), by)


def amount(metric: Metric, *where: str, by: By = (), over: str = NOW) -> str:
    """The sum of what a histogram observed, a second: seconds spent, bytes moved."""
    return aggregate("sum", _each(metric, "sum", where, over), by)


def average(metric: Metric, *where: str, by: By = (), over: str = NOW) -> str:
    """The average observation; nothing where nothing was observed."""
    return each(
        amount(metric, *where, by=by, over=over), observations(metric, *where, by=by, over=over)
    )


def buckets(metric: Metric, *where: str, over: str = NOW) -> str:
    """Observations a second by upper bound, for a heatmap; native ones are one series."""
    classic = aggregate("sum", _rate(f"{metric.name}_bucket", where, over), ("le",))
    return _or_native(metric, classic, aggregate("sum", _rate(metric.name, where, over)))


def quantile(q: float, metric: Metric, *where: str, by: By = (), over: str = NOW) -> str:
    """A quantile; NaN where nothing was observed."""
    counts = aggregate("sum", _rate(f"{metric.name}_bucket", where, over), ("le", *by))
    native = aggregate("sum", _rate(metric.name, where, over), by)
    return _or_native(
        metric, f"histogram_quantile({q}, {counts})", f"histogram_quantile({q}, {native})"
    )


def busy(expr: str) -> str:
    """Without the series that are NaN: a comparison with NaN is never true."""
    return f"{expr} >= 0"


def or_zero(expr: str) -> str:
    """0 where there is nothing; for an expression without labels."""
    return f"{expr} or vector(0)"


def each(part: str, whole: str) -> str:
    """`part` for one of `whole`; nothing where there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def share(part: str, whole: str) -> str:
    """The part of a whole, 0 to 1; 0 when the part is absent or nothing happens."""
    return f"({part} or 0 * {whole}) / clamp_min({whole}, {_SOME})"


def share_of_all(part: str, whole: str) -> str:
    """The share that each series of `part` has in the one number `whole`."""
    return f"{part} / scalar(clamp_min({whole}, {_SOME}))"


def count_where(expr: str, condition: str, *, exists: str) -> str:
    """How many series fulfil `condition`; 0 for none, absent when `exists` is."""
    return f"count({expr} {condition}) or 0 * {exists}"


def failed(*where: str, by: By = (), over: str = NOW) -> str:
    """Failed requests a second: 5xx, or an error that is not the client's leaving."""
    metric = catalog.HTTP_SERVER_REQUEST_DURATION
    by_status = _each(metric, "count", (*where, 'http_response_status_code=~"5.."'), over)
    # Of what came past a bound of series it is not known how it ended.
    error = f'error_type!~"|client_disconnect|{catalog.OVERFLOW}"'
    by_error = _each(metric, "count", (*where, error), over)
    return aggregate("sum", f"{by_status} or {by_error}", by)


def failed_share(*where: str, by: By = (), over: str = NOW) -> str:
    """The part of requests that failed; 0 for a quiet service."""
    everything = observations(catalog.HTTP_SERVER_REQUEST_DURATION, *where, by=by, over=over)
    return share(failed(*where, by=by, over=over), everything)


def _each(metric: Metric, part: str, where: Sequence[str], over: str) -> str:
    """The rate of the `count` or the `sum` of a histogram, whichever way its series are stored."""
    classic = _rate(f"{metric.name}_{part}", where, over)
    return _or_native(metric, classic, f"histogram_{part}({_rate(metric.name, where, over)})")


def _or_native(metric: Metric, classic: str, native: str) -> str:
    """A server that takes native histograms stores no classic buckets of the same metric."""
    return f"({classic} or {native})" if metric.native else classic


def _rate(name: str, where: Sequence[str], over: str) -> str:
    return f"rate({selector(name, *where)}[{over}])"
